// Light or dark: Gradio follows the system; a choice made here is kept in this browser.
const chosen = localStorage.getItem("explorer:theme");
if (chosen) document.body.classList.toggle("dark", chosen === "dark");
element.querySelector(".theme").addEventListener("click", () => {
  const dark = document.body.classList.toggle("dark");
  localStorage.setItem("explorer:theme", dark ? "dark" : "light");
});
