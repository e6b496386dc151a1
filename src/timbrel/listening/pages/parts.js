// What the pages are made of: elements, players, scales. Nothing here talks to the server.

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Players know each other, so that never two of them sound at once.
export class Players {
  constructor(recordings, changed) {
    this.changed = changed;
    this.all = recordings.map((recording) => new Player(recording, this));
    this.element = element("div", {}, ...this.all.map((player) => player.element));
  }

  get heard() {
    return this.all.every((player) => player.heard);
  }

  get seconds() {
    return this.all.reduce((sum, player) => sum + player.seconds, 0);
  }

  silence() {
    for (const player of this.all) player.stop();
  }
}

class Player {
  constructor(recording, players) {
    this.name = recording.name;
    this.players = players;
    this.heard = false;
    this.audio = new Audio();
    this.audio.preload = "none";
    this.audio.src = recording.url;
    this.button = element("button", { type: "button" }, `Play ${recording.name}`);
    this.note = element("span", { className: "note" }, "not heard yet");
    // The bar moves while a recording plays; it would only disturb who listens to a screen reader.
    this.bar = element("progress", { max: recording.seconds, value: 0, "aria-hidden": "true" });
    this.element = element("div", { className: "player" }, this.button, this.note, this.bar);
    this.button.addEventListener("click", () => this.play());
    this.audio.addEventListener("timeupdate", () => { this.bar.value = this.audio.currentTime; });
    this.audio.addEventListener("ratechange", () => this.keepSpeed());
    this.audio.addEventListener("ended", () => this.end());
    this.audio.addEventListener("error", () => this.fail());
  }

  // Seconds of the recording that were played, each counted once.
  get seconds() {
    const played = this.audio.played;
    let sum = 0;
    for (let part = 0; part < played.length; part += 1) sum += played.end(part) - played.start(part);
    return sum;
  }

  // Nothing is announced here: speech of a screen reader would lie over the recording.
  play() {
    this.players.silence();
    this.players.changed("");
    if (this.audio.error) this.audio.load();
    this.audio.currentTime = 0;
    this.audio.play().catch((error) => { if (error.name !== "AbortError") this.fail(); });
  }

  stop() {
    this.audio.pause();
  }

  keepSpeed() {
    if (this.audio.playbackRate !== 1) this.audio.playbackRate = 1;
  }

  end() {
    // Who jumps ahead by the keys of a keyboard or headset reaches the end, too.
    if (this.seconds < this.audio.duration - 0.3) return;
    this.heard = true;
    this.note.textContent = "heard";
    this.players.changed(`${this.name}: heard.`);
  }

  fail() {
    this.players.changed(`${this.name} could not be played. Press Play to try again.`);
  }
}

// Radio buttons for `labels`, pairs of a value and its name. `numbered` shows the values, too.
export function choices(labels, numbered) {
  const inputs = labels.map(([value]) => element("input", { type: "radio", name: "answer", value: String(value) }));
  const rows = labels.map(([value, label], number) => element(
    "label", { className: "choice" }, inputs[number], element("span", {}, numbered ? `${value}: ${label}` : label),
  ));
  return {
    elements: rows,
    first: inputs[0],
    missing: "Choose an answer first.",
    answers: () => inputs.filter((input) => input.checked).map((input) => Number(input.value)),
    complete: () => inputs.some((input) => input.checked),
  };
}

// A slider from 0 to 100 for each name; `labels` are pairs of the lower end of a range and its name.
export function sliders(names, labels) {
  const word = (value) => labels.find(([least]) => value >= least)[1];
  const moved = new Set();
  const inputs = [];
  const rows = names.map((name, number) => {
    const identity = `slider-${number}`;
    const input = element("input", { type: "range", min: "0", max: "100", step: "1", value: "50", id: identity });
    const output = element("output", { htmlFor: identity }, " not rated yet");
    input.setAttribute("aria-valuetext", "not rated yet");
    input.addEventListener("input", () => {
      moved.add(number);
      output.textContent = ` ${input.value}, ${word(Number(input.value))}`;
      input.setAttribute("aria-valuetext", `${input.value}, ${word(Number(input.value))}`);
    });
    inputs.push(input);
    return element("div", { className: "slider" }, element("label", { htmlFor: identity }, name), output, input);
  });
  return {
    elements: rows,
    first: inputs[0],
    missing: "Move every slider first.",
    answers: () => inputs.map((input) => Number(input.value)),
    complete: () => moved.size === inputs.length,
  };
}
