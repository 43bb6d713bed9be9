// Asking the server: JSON, streams of events, and what to say when it does not answer.

const KEY = "rondel-key";

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const useKey = key => sessionStorage.setItem(KEY, key);

function headers() {
  const key = sessionStorage.getItem(KEY);
  return { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
}

async function answerTo(path, body, signal) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: headers(), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server cannot be reached: it may be gone. What was written stays.", 0);
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function refusal(answer) {
  const told = await answer.json().catch(() => null);
  const reason = told?.error?.message || `It answered ${answer.status}.`;
  if (answer.status === 429) {
    const seconds = answer.headers.get("retry-after") || "a few";
    return new Refused(`The server is busy. Try again in ${seconds} s.`, 429);
  }
  if (answer.status === 401) return new Refused("A key is needed, or this one is not right.", 401);
  return new Refused(reason[0].toUpperCase() + reason.slice(1) + (reason.endsWith(".") ? "" : "."), answer.status);
}

export async function ask(path, body, signal) {
  return (await answerTo(path, body, signal)).json();
}

// The events of a stream, as they come. A stream that breaks off is told of, and not taken for whole.
export async function* events(path, body, signal) {
  const answer = await answerTo(path, body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const broken = new Refused("The connection broke off: the server may be gone. What was written stays.", 0);
  let text = "";
  while (true) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      throw error.name === "AbortError" ? error : broken;
    }
    if (part.done) throw broken;
    text += part.value;
    const found = text.split("\n\n");
    text = found.pop();
    for (const event of found) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const told = JSON.parse(data);
      if (told.error) throw new Refused(told.error.message, 500);
      yield told;
    }
  }
}
