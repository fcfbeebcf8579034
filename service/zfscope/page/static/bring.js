// Ways to bring a photo: drop, paste, choose, camera, and samples.

import { fill, find, h } from "./dom.js";
import { announce, dismiss, notify, notifyError } from "./notices.js";
import { addressOf, openSample, samples, upload } from "./photos.js";
import { change } from "./state.js";

/** Show a photo in the page. */
export async function bring(work) {
  dismiss("photo");
  try {
    const photo = await work();
    change({ ...addressOf(photo), view: "", y: "", x: "", map: "", class: "" });
    announce(`Photo ${photo.name}, ${photo.width} × ${photo.height} pixels`);
  } catch (error) {
    notifyError("photo", error);
  }
}

const bringFile = (file) => bring(() => upload(file, { name: file.name || "photo" }));

/** Accept photos that are dropped on or pasted into any part of the page. */
export function acceptPhotos() {
  const carries = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  window.addEventListener("dragover", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  window.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  window.addEventListener("drop", (event) => {
    document.body.classList.remove("dropping");
    if (!carries(event)) return;
    event.preventDefault();
    bringFile(event.dataTransfer.files[0]);
  });
  window.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files || [])][0];
    if (file) {
      event.preventDefault();
      bringFile(file);
    }
  });
}

/** Return a button that opens the dialog of files. */
function chooser(text, attributes = {}) {
  const input = h("input", { type: "file", accept: "image/*", hidden: true, "aria-label": "Photo", ...attributes });
  input.addEventListener("change", () => {
    if (input.files[0]) bringFile(input.files[0]);
    input.value = "";
  });
  return h("span", {}, input, h("button", { type: "button", onclick: () => input.click() }, text));
}

/** Return the buttons that bring a photo. */
export function photoButtons() {
  return h("span", { class: "row" }, chooser("Choose photo"), h("button", { type: "button", onclick: openCamera }, "Camera"));
}

/** Return the place that a photo is dropped on, with samples. */
export function dropZone() {
  const tiles = h("div", { class: "grid samples" });
  samples().then((listed) => fill(tiles, listed.map(sampleTile)), (error) => notifyError("samples", error));
  return h("div", { class: "drop" },
    h("h1", {}, "What does a network see in your photo?"),
    h("p", {}, "Drop a photo here, paste one, choose a file, or take one. It stays in the server's memory for a while and is not stored."),
    photoButtons(), h("h2", {}, "Or start with a sample"), tiles);
}

function sampleTile({ name, url }) {
  return h("button", { type: "button", class: "tile", onclick: () => bring(() => openSample(name)) },
    h("span", { class: "picture" }, h("img", { src: url, alt: "", loading: "lazy" })), h("span", { class: "name" }, name.replace(/\.\w+$/, "")));
}

async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    notify("camera", "The browser offers no camera here: it does so on localhost and over HTTPS only.");
    return;
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment", width: { ideal: 1280 } } });
  } catch (error) {
    notify("camera", `The camera cannot be used: ${error.message}. Allow it in the browser's settings, or choose a file.`);
    return;
  }
  const video = h("video", { autoplay: true, playsinline: true, "aria-label": "Camera" });
  video.muted = true;
  video.srcObject = stream;
  const shoot = h("button", { type: "button", class: "primary", onclick: async () => {
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
    dialog.close();
    bring(() => upload(blob, { name: "camera" }));
  } }, "Take photo");
  const dialog = h("dialog", { class: "camera", "aria-label": "Camera", onclose: () => {
    stream.getTracks().forEach((track) => track.stop());
    dialog.remove();
  } }, video, h("div", { class: "row" }, shoot, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel")));
  find("body").append(dialog);
  dialog.showModal();
}
