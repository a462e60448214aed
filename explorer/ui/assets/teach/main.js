// Puts the parts together: looks at the server again and again, since the lesson goes on without this page.

import { find, make, say } from "../dom.js";
import { createLesson, STATES } from "./lesson.js";
import { createWish } from "./wish.js";

const OFTEN = 1000; // ms between looks while something happens
const SELDOM = 5000;

function start() {
  const earlier = find(".earlier select");
  const line = find(".line");
  let shown = null; // id of the lesson on the page; null is the newest
  let stamp = null; // of the pictures on the page
  let timer;
  let looking = false;

  const lesson = createLesson(async (request) => {
    const answer = await ask(server.act, request);
    if (request.what === "leave" && !answer.error) shown = null;
    if (!answer.error) await look();
    return answer;
  });
  const wish = createWish(async (request) => {
    const answer = await ask(server.teach, request);
    if (answer.error) return answer.error;
    if (answer.waits) {
      window.domainExplorer.toast(`“${request.name}” waits in line: it begins by itself when the lessons before it end.`);
      await look();
      return "";
    }
    shown = null;
    await look();
    find(".lesson").scrollIntoView({ block: "nearest", behavior: "smooth" });
    return "";
  }, async () => {
    const answer = await ask(server.act, { what: "measure" });
    await look();
    return answer.error;
  }, () => ask(server.styles, {}));

  async function ask(call, request) {
    try {
      return (await call(request)) ?? { error: "The server does not answer: is it still running?" };
    } catch {
      return { error: "The server does not answer: is it still running?" };
    }
  }
  async function look() {
    clearTimeout(timer);
    if (!element.isConnected) return; // the tab was closed
    if (looking) return again(OFTEN);
    looking = true;
    const answer = await ask(server.look, { id: shown, stamp });
    looking = false;
    say(find(".lost"), answer.error);
    if (!answer.error) show(answer);
    again(answer.error || answer.running || answer.generator.measured !== null || !stamp ? OFTEN : SELDOM);
  }
  function again(ms) {
    clearTimeout(timer);
    timer = setTimeout(() => (document.hidden ? again(OFTEN) : look()), ms);
  }
  function show(answer) {
    lesson.show(answer.lesson);
    if (!answer.lesson) lesson.showEmpty(answer.generator.name);
    if (answer.pictures) {
      stamp = answer.stamp;
      lesson.showPictures(answer.pictures, answer.full, answer.verdict);
    }
    wish.show(answer.generator, answer.running);
    find(".wish").hidden = answer.closed;
    find(".closed").hidden = !answer.closed;
    showEarlier(answer.lessons, answer.lesson?.id);
    showLine(answer.line, answer.closed);
  }
  function showEarlier(lessons, id) {
    const text = JSON.stringify(lessons);
    find(".earlier").hidden = lessons.length < 2;
    if (earlier.dataset.lessons !== text) {
      earlier.dataset.lessons = text;
      earlier.replaceChildren(...lessons.map(({ id, name, state }) => make("option", { value: id, textContent: `${name} (${STATES[state].toLowerCase()})` })));
    }
    if (document.activeElement !== earlier) earlier.value = id ?? "";
  }

  function showLine(lessons, closed) {
    const text = JSON.stringify([lessons, closed]);
    if (line.dataset.lessons === text) return;
    line.dataset.lessons = text;
    line.hidden = !lessons.length;
    line.querySelector("ol").replaceChildren(...lessons.map(({ id, name }) => {
      const out = make("button", { type: "button", className: "quiet", textContent: "Take out", ariaLabel: `Take ${name} out of the line`, hidden: closed });
      out.addEventListener("click", async () => {
        const answer = await ask(server.act, { id, what: "leave" });
        if (shown === id) shown = null;
        await look();
        say(find(".lost"), answer.error);
      });
      return make("li", {}, make("span", { textContent: name }), out);
    }));
  }

  earlier.addEventListener("change", () => {
    shown = earlier.value;
    earlier.blur();
    look();
  });
  look();
}

start();
