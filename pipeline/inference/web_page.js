// What the page does: unpacks model and runtime, takes a video's last frames, runs the model on, and plays both.
const $ = (id) => document.getElementById(id);
const card = JSON.parse($("card").textContent);
const [channels, trainedHeight, trainedWidth] = card.frame_shape;
const LUMA = [0.299, 0.587, 0.114]; // of R, G, B
const FPS = 25; // where nobody knows
let ort, begin, step, file;
let frames = []; // {canvas, predicted}
let playing = null;
let run = 0; // which continuation is the latest

const say = (text) => { $("status").textContent = text; };

async function held(name) {
  const packed = await (await fetch(`data:application/octet-stream;base64,${$(`held-${name}`).textContent}`)).blob();
  const stream = packed.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function load() {
  const script = new Blob([await held("script")], { type: "text/javascript" });
  ort = await import(URL.createObjectURL(script));
  ort.env.wasm.numThreads = 1; // several need headers that a file does not have
  ort.env.wasm.wasmBinary = (await held("wasm")).buffer;
  begin = await ort.InferenceSession.create(await held("begin"));
  step = await ort.InferenceSession.create(await held("step"));
}

// height and width of what the model is shown of a video, as in training
function sizeFor(height, width) {
  const ratios = [trainedHeight / height, trainedWidth / width];
  const scale = { crop: Array(2).fill(Math.max(...ratios)), pad: Array(2).fill(Math.min(...ratios)), stretch: ratios }[card.fit];
  return [Math.max(1, Math.round(height * scale[0])), Math.max(1, Math.round(width * scale[1]))];
}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  return canvas;
}

// a tensor (1, channels and noise, height, width) in [-1, 1]
function tensorOf(source, width, height, noise) {
  const context = canvasOf(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const area = width * height;
  const values = new Float32Array((channels + noise.length) * area);
  for (let i = 0; i < area; i++) {
    const rgb = [0, 1, 2].map((c) => data[4 * i + c]);
    const seen = channels === 1 ? [LUMA.reduce((sum, weight, c) => sum + weight * rgb[c], 0)] : rgb;
    for (let c = 0; c < channels; c++) values[c * area + i] = seen[c] / 127.5 - 1;
  }
  noise.forEach((value, n) => values.fill(value, (channels + n) * area, (channels + n + 1) * area));
  return new ort.Tensor("float32", values, [1, channels + noise.length, height, width]);
}

function canvasOfTensor(tensor) {
  const [, out, height, width] = tensor.dims;
  const canvas = canvasOf(width, height);
  const image = new ImageData(width, height);
  const area = width * height;
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = Math.round((tensor.data[(out === 1 ? 0 : c) * area + i] + 1) * 127.5);
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

async function modelStep(frame, found, own) {
  if (!found) return begin.run({ frame });
  const feeds = { frame };
  for (const name of step.inputNames) {
    if (name.startsWith("state_")) feeds[name] = found[`next_${name}`];
    if (name === "fed_back") feeds[name] = new ort.Tensor("bool", [own], [1]);
  }
  return step.run(feeds);
}

const event = (target, name) => new Promise((resolve, reject) => {
  target.addEventListener(name, resolve, { once: true });
  target.addEventListener("error", () => reject(new Error("this browser cannot play that video")), { once: true });
});

async function opened(source) {
  const video = document.createElement("video");
  video.muted = true;
  video.preload = "auto";
  video.src = URL.createObjectURL(source);
  await event(video, "loadeddata");
  if (!Number.isFinite(video.duration)) { // some files say it at their end only
    video.currentTime = 1e9;
    await event(video, "seeked");
  }
  return video;
}

// frames per second, from the times of some frames as they are played
async function rateOf(video) {
  if (!video.requestVideoFrameCallback) return FPS;
  const times = [];
  await Promise.race([
    new Promise((resolve) => {
      const see = (_, { mediaTime }) => {
        times.push(mediaTime);
        if (times.length < 12) video.requestVideoFrameCallback(see); else resolve();
      };
      video.requestVideoFrameCallback(see);
      video.currentTime = 0;
      video.playbackRate = 0.5;
      video.play().catch(resolve);
    }),
    event(video, "ended"),
    new Promise((resolve) => { setTimeout(resolve, 3000); }),
  ]);
  video.pause();
  const steps = times.slice(1).map((time, i) => time - times[i]).filter((seconds) => seconds > 0.001).sort((a, b) => a - b);
  return steps.length ? Math.round(100 / steps[Math.floor(steps.length / 2)]) / 100 : FPS;
}

async function lastFrames(video, fps) {
  const shown = [];
  const count = Math.max(1, Math.min(card.context, Math.floor(video.duration * fps + 0.5)));
  for (let number = count; number > 0; number--) {
    video.currentTime = Math.max(0, video.duration - (number - 0.5) / fps);
    await event(video, "seeked");
    const canvas = canvasOf(video.videoWidth, video.videoHeight);
    canvas.getContext("2d").drawImage(video, 0, 0);
    shown.push(canvas);
  }
  return shown;
}

function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

async function continueVideo() {
  const mine = ++run;
  stop();
  $("again").disabled = true;
  try {
    say("The video is read …");
    const video = await opened(file);
    const fps = Number($("fps").value) || await rateOf(video);
    const [height, width] = sizeFor(video.videoHeight, video.videoWidth);
    const past = await lastFrames(video, fps);
    if (mine !== run) return;
    frames = past.map((canvas) => ({ canvas, predicted: 0 }));
    [$("canvas").width, $("canvas").height] = [video.videoWidth, video.videoHeight];
    const noise = Array.from({ length: card.noise_channels }, normal);
    let found = null;
    for (const canvas of past) found = await modelStep(tensorOf(canvas, width, height, noise), found, false);
    const count = Math.max(1, Math.min(1000, Math.floor(Number($("count").value)) || 1));
    const started = performance.now();
    for (let number = 1; number <= count; number++) {
      const canvas = canvasOfTensor(found.next_frame);
      frames.push({ canvas, predicted: number });
      $("scrub").max = frames.length - 1;
      show(frames.length - 1);
      say(`Frame ${number} of ${count} …`);
      if (number % 4 === 0) await new Promise((resolve) => { setTimeout(resolve); }); // let the page be painted
      if (mine !== run) return;
      if (number < count) found = await modelStep(tensorOf(canvas, width, height, noise), found, true);
    }
    const rate = count / (performance.now() - started) * 1000;
    say(`${file.name}: ${past.length} frames, ${fps} a second, then ${count} predicted, ${rate.toFixed(0)} a second`);
    $("scrub").disabled = $("play").disabled = false;
    play(fps);
  } catch (error) {
    say(`${file.name}: ${error.message}`);
  }
  $("again").disabled = false;
}

function show(number) {
  const { canvas, predicted } = frames[number];
  const context = $("canvas").getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, 0, 0, $("canvas").width, $("canvas").height);
  $("canvas").classList.toggle("predicted", predicted > 0);
  $("scrub").value = number;
  const past = frames.filter((frame) => !frame.predicted).length;
  $("where").textContent = predicted ? `predicted ${predicted} of ${frames.length - past}` : `given ${number + 1} of ${past}`;
}

function stop() {
  clearInterval(playing);
  playing = null;
  $("play").textContent = "play";
}

function play(fps) {
  stop();
  $("play").textContent = "stop";
  playing = setInterval(() => show((Number($("scrub").value) + 1) % frames.length), 1000 / fps);
}

function take(files) {
  if (files.length) {
    [file] = files;
    continueVideo();
  }
}

$("file").addEventListener("change", (change) => take(change.target.files));
$("again").addEventListener("click", continueVideo);
$("play").addEventListener("click", () => (playing ? stop() : play(Number($("fps").value) || FPS)));
$("scrub").addEventListener("input", (input) => { stop(); show(Number(input.target.value)); });
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (drag) => {
    drag.preventDefault();
    $("drop").classList.toggle("over", name === "dragenter" || name === "dragover");
    if (name === "drop" && ort) take(drag.dataTransfer.files);
  });
}
$("file").disabled = true;
load().then(() => { $("file").disabled = false; say("Ready."); }, (error) => say(`The model cannot be run here: ${error.message}`));
