// One listener's way through a study: welcome, headphones, trials, thanks. The server says what comes next.

import { Players, choices, element, sliders } from "./parts.js";

const heading = document.getElementById("heading");
const content = document.getElementById("content");
const status = document.getElementById("status");
const longestPause = 8000;

function say(message) {
  status.textContent = message;
}

function show(title, ...children) {
  document.title = title;
  heading.textContent = title;
  content.replaceChildren(...children);
  say("");
  heading.focus();
  window.scrollTo(0, 0);
}

const paragraph = (text) => element("p", {}, text);
const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

// The server's answer. While it cannot be reached the same is sent again: it takes an answer once, however often
// it comes.
async function ask(address, body) {
  const request = body === undefined ? {} : {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  for (let wait = 500; ; wait = Math.min(2 * wait, longestPause)) {
    const response = await fetch(address, request).catch(() => null);
    if (response !== null && response.status < 500) return response;
    say("The connection is lost. Your answer is kept and will be sent again.");
    await pause(wait);
  }
}

async function next(response) {
  if (response.ok) {
    showState(await response.json());
    return;
  }
  const refusal = await response.json().catch(() => ({}));
  const again = element("button", { type: "button", className: "forward" }, "Go on");
  again.addEventListener("click", async () => next(await ask("begin", {})));
  show("That did not work", paragraph(refusal.detail ?? "The study does not know this page."), again);
}

function showState(state) {
  switch (state.phase) {
    case "headphones": return showHeadphones(state);
    case "trial": return showTrial(state);
    case "turned-away":
      return show("Thank you", paragraph("This study needs headphones, and you do not seem to have any on."));
    default:
      return show("Thank you", paragraph("All your answers are stored. You can close this page."));
  }
}

function showHeadphones(state) {
  const again = state.again ? "That did not sound like headphones. Please put some on and try once more. " : "";
  showQuestion({
    title: `Headphones: ${state.number + 1} of ${state.count}`,
    text: `${again}Please wear headphones and choose a comfortable volume. You will hear three tones.`,
    question: "Which tone is the quietest?",
    recordings: [{ name: "the three tones", url: state.url, seconds: state.seconds }],
    scale: choices([[0, "The first tone"], [1, "The second tone"], [2, "The third tone"]], false),
    send: (answers) => ask(state.url, { answer: answers[0] }),
  });
}

function showTrial(state) {
  const names = state.recordings.slice(1).map((recording) => recording.name);
  showQuestion({
    title: `${state.title}: ${state.position + 1} of ${state.count}`,
    text: state.test === "mushra" ? "" : "If you hear beeps at the end, count them and choose the answer of that number.",
    question: state.question,
    recordings: state.recordings,
    scale: state.test === "mushra" ? sliders(names, state.labels) : choices(state.labels, true),
    send: (answers, seconds) => ask(
      "ratings", { position: state.position, answers, heard_seconds: seconds },
    ),
  });
}

// Recordings, a question that opens once they were heard, and a button that sends the answer.
function showQuestion({ title, text, question, recordings, scale, send }) {
  const hint = paragraph("You can answer when you have heard everything to its end.");
  hint.id = "hint";
  const answers = element(
    "fieldset", { disabled: true, "aria-describedby": "hint" }, element("legend", {}, question), ...scale.elements,
  );
  const players = new Players(recordings, (message) => {
    answers.disabled = !players.heard;
    hint.hidden = players.heard;
    say(message && players.heard ? `${message} You can answer now.` : message);
  });
  const forward = element("button", { type: "submit", className: "forward" }, "Next");
  const form = element("form", { noValidate: true }, players.element, hint, answers, forward);
  let sending = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (sending) return;
    if (!players.heard) return say("Please hear everything to its end first.");
    if (!scale.complete()) {
      scale.first.focus();
      return say(scale.missing);
    }
    sending = true;
    forward.setAttribute("aria-disabled", "true");
    players.silence();
    await next(await send(scale.answers(), players.seconds));
  });
  show(title, paragraph(text), form);
}

function showWelcome(study) {
  const instructions = study.instructions.split("\n\n").filter(Boolean).map(paragraph);
  const rules = ["Press Play to hear a recording. You can hear it again as often as you like."];
  rules.push("You can answer once you have heard everything to its end. An answer cannot be changed afterwards.");
  if (study.attention) rules.push("Some recordings end in beeps. Count them, and choose the answer of that number.");
  if (study.headphones) rules.push("Please wear headphones. Three tones, six times, tell whether they work.");
  rules.push("You can close this page at any time and go on later: keep its address.");
  rules.push("Your answers are kept without your name, your address or anything else that tells who you are.");
  const list = element("ul", {}, ...rules.map((rule) => element("li", {}, rule)));
  const label = study.answered > 0 ? "Go on" : "Begin";
  const forward = element("button", { type: "button", className: "forward" }, label);
  forward.addEventListener("click", async () => next(await ask("begin", {})), { once: true });
  show(study.title, ...instructions, list, forward);
}

const welcome = await ask("welcome");
if (welcome.ok) showWelcome(await welcome.json());
else await next(welcome);
