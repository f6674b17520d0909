// The page to draw on. Strokes and pictures go to POST /predict as pictures; what comes back is
// shown. One request at a time, at most RATE a second, and always with the newest drawing.
"use strict";

const SIZE = 280; // the side of the picture that is sent; strokes are in its pixels
const PEN = 22;
const RATE = 15;
const STEP = 10; // of the arrow keys; with Shift, FINE_STEP
const FINE_STEP = 3;
const LARGEST = 1600; // the longer side of a picture that is sent; the server needs no more
const PATIENCE = 15000; // ms until an answer is given up
const SPEAK_AFTER = 600; // ms without change until the result is spoken

const TEXTS = {
  en: {
    title: "Draw a digit",
    paper: "Paper",
    paperLabel: "Paper to draw a digit on",
    invitation: "Draw a digit from 0 to 9 here, or drop or paste a picture",
    undo: "Undo",
    clear: "Clear",
    open: "Open a picture",
    keys:
      "With the keyboard: arrow keys move the pen (two at once: diagonally; with Shift: finely)," +
      " Space lowers and lifts it, Ctrl+Z undoes, Delete clears, Ctrl+V pastes a picture.",
    result: "What the network reads",
    seen: "What it sees",
    form: "28×28, in MNIST’s form",
    docs: "For programs: the HTTP interface",
    sure: (percent) => `${percent} sure`,
    doubts: { "several digits": "perhaps several digits", other: "perhaps no digit at all" },
    noDigit: (doubt, percent) => `${doubt} (${percent} sure)`,
    spoken: (digit, percent) => `${digit}, ${percent} sure`,
    spokenNoDigit: (doubt, digit) => `${doubt}; the nearest is ${digit}`,
    nothing: "Nothing drawn yet",
    cleared: "Cleared",
    undone: "Undone",
    penDown: (x, y) => `Pen down, ${x} from the left, ${y} from the top`,
    penUp: (x, y) => `Pen up, ${x} from the left, ${y} from the top`,
    imageLabel: "The digit as the network gets it",
    maps: (count, width, height, model) =>
      `First convolution of ${model}: ${count} maps of ${width}×${height}`,
    noMaps: (model) => `${model} has no convolution, so there are no feature maps.`,
    picture: "Picture opened",
    noPicture: "That is not a picture file.",
    tooLarge: "The picture is too large for the server.",
    unreadable: "The network finds no digit to read: ",
    busy: "The server is busy; trying again.",
    gone: "The server does not answer. Draw on to try again.",
    failed: "The server could not do it: ",
    other: "中文",
    otherLabel: "切换到中文",
    otherLanguage: "zh",
  },
  zh: {
    title: "写一个数字",
    paper: "画板",
    paperLabel: "写数字的画板",
    invitation: "在这里写一个 0 到 9 的数字，或拖入、粘贴一张图片",
    undo: "撤销",
    clear: "清空",
    open: "打开图片",
    keys:
      "键盘操作：方向键移动笔（同时按两个：斜向；加 Shift：微调），空格落笔或抬笔，" +
      "Ctrl+Z 撤销，Delete 清空，Ctrl+V 粘贴图片。",
    result: "网络的识别结果",
    seen: "网络看到的",
    form: "28×28，MNIST 的形式",
    docs: "供程序使用：HTTP 接口",
    sure: (percent) => `把握 ${percent}`,
    doubts: { "several digits": "可能有几个数字", other: "可能不是数字" },
    noDigit: (doubt, percent) => `${doubt}（把握 ${percent}）`,
    spoken: (digit, percent) => `${digit}，把握 ${percent}`,
    spokenNoDigit: (doubt, digit) => `${doubt}，最接近的是 ${digit}`,
    nothing: "还没有写",
    cleared: "已清空",
    undone: "已撤销",
    penDown: (x, y) => `落笔，距左 ${x}，距上 ${y}`,
    penUp: (x, y) => `抬笔，距左 ${x}，距上 ${y}`,
    imageLabel: "网络得到的数字",
    maps: (count, width, height, model) =>
      `${model} 的第一个卷积层：${count} 个 ${width}×${height} 的特征图`,
    noMaps: (model) => `${model} 没有卷积层，因此没有特征图。`,
    picture: "已打开图片",
    noPicture: "这不是图片文件。",
    tooLarge: "图片太大，服务器不接受。",
    unreadable: "没有可以识别的数字：",
    busy: "服务器繁忙，正在重试。",
    gone: "服务器没有响应。继续书写即可重试。",
    failed: "服务器无法完成：",
    other: "English",
    otherLabel: "Switch to English",
    otherLanguage: "en",
  },
};

const at = (id) => document.getElementById(id);
const paper = at("paper");

// What is on the paper: strokes (lists of points), or a picture that was dropped or pasted.
// Sheets are never changed but by the stroke under way; undo goes back to an earlier one.
const BLANK = { strokes: [], picture: null };
let sheet = BLANK;
const earlier = [];
let stroke = null; // the one under way
const pen = { x: SIZE / 2, y: SIZE / 4 };
const held = new Set(); // arrow keys

let language = "en";
let text = TEXTS.en;
let shown = null; // the server's latest answer

// --- Language ---

function preferredLanguage() {
  const kept = stored("language");
  if (kept in TEXTS) return kept;
  const known = navigator.languages.map((tag) => tag.slice(0, 2)).find((tag) => tag in TEXTS);
  return known || "en";
}

function stored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage may be forbidden
  }
}

function speakLanguage(name) {
  language = name;
  text = TEXTS[name];
  document.documentElement.lang = name === "zh" ? "zh-CN" : "en";
  document.title = text.title;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = text[element.dataset.text];
  }
  paper.setAttribute("aria-label", text.paperLabel);
  at("image").setAttribute("aria-label", text.imageLabel);
  const button = at("language");
  button.textContent = text.other;
  button.lang = text.otherLanguage;
  button.setAttribute("aria-label", text.otherLabel);
  at("trouble").textContent = "";
  show(shown);
}

function percent(value) {
  return new Intl.NumberFormat(language, {
    style: "percent",
    minimumFractionDigits: 1,
    maximumFractionDigits: 1,
  }).format(value);
}

// --- The paper ---

function isBlank() {
  return sheet.strokes.length === 0 && !sheet.picture;
}

function turnTo(next) {
  earlier.push(sheet);
  sheet = next;
  changed();
}

function beginStroke(x, y) {
  stroke = [[x, y]];
  turnTo({ strokes: [...sheet.strokes, stroke], picture: null });
}

function extendStroke(x, y) {
  stroke.push([x, y]);
  changed();
}

function endStroke() {
  stroke = null;
  at("pen").classList.remove("down");
}

function undo() {
  endStroke();
  if (earlier.length === 0) return;
  sheet = earlier.pop();
  changed();
  speak(isBlank() ? text.nothing : text.undone);
}

function clear() {
  endStroke();
  if (!isBlank()) turnTo(BLANK);
  speak(text.cleared);
}

function paint() {
  const context = paper.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, paper.width, paper.height);
  if (sheet.picture && sheet.picture.bitmap) paintPicture(context, sheet.picture.bitmap);
  context.scale(paper.width / SIZE, paper.height / SIZE);
  context.lineWidth = PEN;
  context.lineCap = context.lineJoin = "round";
  context.fillStyle = "#000";
  for (const points of sheet.strokes) {
    context.beginPath();
    for (const point of points) context.lineTo(...point);
    context.stroke();
    // A line that goes nowhere is not drawn, but a dot should be.
    context.beginPath();
    context.arc(...points[0], PEN / 2, 0, 2 * Math.PI);
    context.fill();
  }
  paper.classList.toggle("drawing", !sheet.picture);
  at("invitation").hidden = !isBlank();
  at("undo").disabled = earlier.length === 0;
  at("clear").disabled = isBlank();
}

function paintPicture(context, bitmap) {
  const factor = Math.min(paper.width / bitmap.width, paper.height / bitmap.height);
  const width = bitmap.width * factor;
  const height = bitmap.height * factor;
  const left = (paper.width - width) / 2;
  context.drawImage(bitmap, left, (paper.height - height) / 2, width, height);
}

function drawingAsPng() {
  const small = document.createElement("canvas");
  small.width = small.height = SIZE;
  small.getContext("2d").drawImage(paper, 0, 0, SIZE, SIZE);
  return new Promise((resolve) => small.toBlob(resolve, "image/png"));
}

// --- Mouse, pen and finger ---

function position(event) {
  const box = paper.getBoundingClientRect();
  return [
    ((event.clientX - box.left) * SIZE) / box.width,
    ((event.clientY - box.top) * SIZE) / box.height,
  ];
}

let pointer = null; // the pointer that draws; a second finger does not

paper.addEventListener("pointerdown", (event) => {
  if (pointer !== null || event.button !== 0) return;
  pointer = event.pointerId;
  paper.setPointerCapture(pointer);
  beginStroke(...position(event));
});

paper.addEventListener("pointermove", (event) => {
  if (event.pointerId !== pointer || !stroke) return;
  const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
  for (const part of events.length ? events : [event]) extendStroke(...position(part));
});

for (const kind of ["pointerup", "pointercancel"]) {
  paper.addEventListener(kind, (event) => {
    if (event.pointerId !== pointer) return;
    pointer = null;
    endStroke();
  });
}

// --- Keyboard ---

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

paper.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in ARROWS) {
    held.add(event.key);
    movePen(event.shiftKey ? FINE_STEP : STEP);
  } else if (event.key === " " || event.key === "Enter") {
    if (!event.repeat) togglePen();
  } else if (event.key === "Delete" || event.key === "Backspace") {
    clear();
  } else if (event.key === "Escape") {
    endStroke();
  } else {
    return;
  }
  event.preventDefault();
});

paper.addEventListener("keyup", (event) => held.delete(event.key));

paper.addEventListener("blur", () => {
  held.clear();
  if (pointer === null) endStroke();
});

document.addEventListener("keydown", (event) => {
  const isUndo = (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey;
  if (isUndo && event.key.toLowerCase() === "z") {
    event.preventDefault();
    undo();
  }
});

function movePen(step) {
  for (const key of held) {
    pen.x = Math.min(SIZE, Math.max(0, pen.x + ARROWS[key][0] * step));
    pen.y = Math.min(SIZE, Math.max(0, pen.y + ARROWS[key][1] * step));
  }
  placePen();
  if (stroke) extendStroke(pen.x, pen.y);
}

function togglePen() {
  const where = [percentOf(pen.x), percentOf(pen.y)];
  if (stroke) {
    endStroke();
    speak(text.penUp(...where));
  } else {
    beginStroke(pen.x, pen.y);
    at("pen").classList.add("down");
    speak(text.penDown(...where));
  }
}

function percentOf(length) {
  return `${Math.round((100 * length) / SIZE)}%`;
}

function placePen() {
  at("pen").style.left = `${(100 * pen.x) / SIZE}%`;
  at("pen").style.top = `${(100 * pen.y) / SIZE}%`;
}

// --- Pictures ---

async function openPicture(file) {
  endStroke();
  if (!file || !file.type.startsWith("image/")) {
    trouble(text.noPicture);
    return;
  }
  // What the browser cannot show (TIFF, say) the server may still read.
  const bitmap = await createImageBitmap(file).catch(() => null);
  const sent = (bitmap && (await smaller(bitmap, file.type).catch(() => null))) || file;
  turnTo({ strokes: [], picture: { file: sent, bitmap } });
  speak(text.picture);
}

// A large picture as one that the server takes, or null: a telephone's photo has 24 megapixels.
function smaller(bitmap, type) {
  const factor = LARGEST / Math.max(bitmap.width, bitmap.height);
  if (factor >= 1) return Promise.resolve(null);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(factor * bitmap.width));
  canvas.height = Math.max(1, Math.round(factor * bitmap.height));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  // Only PNG keeps what is transparent.
  const kind = type === "image/jpeg" ? type : "image/png";
  return new Promise((resolve) => canvas.toBlob(resolve, kind, 0.92));
}

at("open").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", (event) => {
  if (event.target.files.length) openPicture(event.target.files[0]);
  event.target.value = ""; // so that the same file can be opened again
});

document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files];
  if (files.length === 0) return;
  event.preventDefault();
  openPicture(files.find((file) => file.type.startsWith("image/")) || files[0]);
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  paper.classList.add("aimed");
});

document.addEventListener("dragleave", () => paper.classList.remove("aimed"));

document.addEventListener("drop", (event) => {
  event.preventDefault();
  paper.classList.remove("aimed");
  openPicture(event.dataTransfer.files[0]);
});

// --- Asking the server ---

let version = 0; // of what is on the paper
let asked = 0; // the version that the latest request was about
let timer = null;
let busy = false;
let lastRequest = 0;

function changed() {
  version += 1;
  requestAnimationFrame(paint);
  if (isBlank()) show(null);
  askSoon(0);
}

function askSoon(delay) {
  if (busy || timer !== null) return;
  const wait = Math.max(delay, lastRequest + 1000 / RATE - performance.now());
  timer = setTimeout(ask, wait);
}

async function ask() {
  timer = null;
  if (isBlank()) return;
  busy = true;
  asked = version;
  lastRequest = performance.now();
  let again = null;
  try {
    paint(); // the newest points may not be on the canvas yet
    const body = sheet.picture ? sheet.picture.file : await drawingAsPng();
    again = await answerTo(body);
  } catch {
    trouble(text.gone);
  }
  busy = false;
  if (again !== null || version !== asked) askSoon(again || 0);
}

// Shows the answer; returns the ms after which to ask again if the server was busy, else null.
async function answerTo(body) {
  // Not AbortSignal.timeout, which browsers of before 2022 do not have.
  const patience = new AbortController();
  const alarm = setTimeout(() => patience.abort(), PATIENCE);
  const response = await fetch("predict?explain=true", {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body,
    signal: patience.signal,
  });
  const answer = await response.json().catch(() => ({ error: response.statusText }));
  clearTimeout(alarm);
  if (isBlank()) return null; // cleared meanwhile
  if (response.ok) {
    trouble("");
    show({ model: answer.model, ...answer.predictions[0] });
    return null;
  }
  if (response.status === 503) {
    trouble(text.busy);
    return 1000 * Number(response.headers.get("Retry-After") || 1);
  }
  show(null);
  if (response.status === 413) trouble(text.tooLarge);
  else trouble((response.status === 422 ? text.unreadable : text.failed) + answer.error);
  return null;
}

// --- The result ---

function show(answer) {
  shown = answer;
  const probabilities = answer ? answer.probabilities : Array(10).fill(0);
  const sure = answer ? percent(answer.confidence) : "";
  const doubt = answer && (text.doubts[answer.reason] || text.doubts.other);
  at("digit").textContent = answer ? answer.digit : "–";
  at("sure").textContent = !answer
    ? text.nothing
    : answer.is_digit
      ? text.sure(sure)
      : text.noDigit(doubt, sure);
  probabilities.forEach((probability, digit) => {
    const row = at("bars").children[digit];
    row.classList.toggle("first", answer !== null && digit === answer.digit);
    row.querySelector(".fill").style.transform = `scaleX(${probability})`;
    row.querySelector(".percent").textContent = answer ? percent(probability) : "";
  });
  showSeen(answer);
  if (answer) {
    speakLater(
      answer.is_digit ? text.spoken(answer.digit, sure) : text.spokenNoDigit(doubt, answer.digit),
    );
  } else {
    at("trouble").textContent = "";
    clearTimeout(speaking);
  }
}

function showSeen(answer) {
  const blank = Array(28).fill(Array(28).fill(0));
  paintPixels(at("image"), answer ? answer.image : blank);
  const maps = answer ? answer.feature_maps : [];
  const box = at("maps");
  while (box.children.length > maps.length) box.lastChild.remove();
  while (box.children.length < maps.length) box.append(document.createElement("canvas"));
  maps.forEach((pixels, number) => paintPixels(box.children[number], pixels));
  let caption = "";
  if (maps.length) caption = text.maps(maps.length, maps[0][0].length, maps[0].length, answer.model);
  else if (answer) caption = text.noMaps(answer.model);
  at("maps-caption").textContent = caption;
  box.setAttribute("aria-label", caption);
}

// Grey pixels, 0–255, rows of columns.
function paintPixels(canvas, rows) {
  canvas.height = rows.length;
  canvas.width = rows[0].length;
  const grey = rows.flat();
  const image = new ImageData(canvas.width, canvas.height);
  grey.forEach((value, index) => image.data.set([value, value, value, 255], 4 * index));
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function trouble(message) {
  if (at("trouble").textContent !== message) at("trouble").textContent = message;
}

// Screen readers hear what stays for a moment, not every number on the way.
let speaking = null;

function speakLater(message) {
  clearTimeout(speaking);
  // Not while a newer drawing is on its way: what is heard should be what is seen.
  speaking = setTimeout(() => (busy ? speakLater(message) : speak(message)), SPEAK_AFTER);
}

function speak(message) {
  clearTimeout(speaking);
  at("spoken").textContent = message;
}

// --- Start ---

for (let digit = 0; digit < 10; digit += 1) {
  const row = document.createElement("li");
  for (const name of ["digit", "track", "percent"]) {
    const part = document.createElement("span");
    part.className = name;
    row.append(part);
  }
  row.children[0].textContent = digit;
  const fill = document.createElement("span");
  fill.className = "fill";
  row.children[1].append(fill);
  at("bars").append(row);
}

at("undo").addEventListener("click", undo);
at("clear").addEventListener("click", clear);
at("language").addEventListener("click", () => {
  speakLanguage(text.otherLanguage);
  try {
    localStorage.setItem("language", language);
  } catch {
    // it is then not kept
  }
});

placePen();
speakLanguage(preferredLanguage());
paint();
