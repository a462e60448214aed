// The camera: a live picture in the place of the photo, until one is taken.

import { find, make, onClick, panel } from "../dom.js";

export function createCamera(session) {
  const video = find("video");
  let stream = null;

  async function open() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
    } catch {
      const trouble = navigator.mediaDevices
        ? "The camera cannot be used: allow it in the browser, or choose a photo."
        : "The browser offers the camera only on this computer or over https: choose a photo instead.";
      return session.set({ trouble });
    }
    if (!panel.isConnected) return close(); // another tab was opened while the browser asked
    video.srcObject = stream;
    await video.play();
    session.set({ trouble: "", camera: true });
  }
  function close() {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
    video.srcObject = null;
    session.set({ camera: false });
  }
  function shoot() {
    const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    close();
    session.takePhoto(canvas.toDataURL("image/jpeg", 0.95));
  }
  onClick("camera", open);
  onClick("shoot", shoot);
  onClick("no-camera", close);
  if (session.state.camera) close(); // the panel is new, the picture was in the old one
  const watch = setInterval(() => {
    if (panel.isConnected) return;
    clearInterval(watch);
    if (stream) close();
  }, 500);
}
