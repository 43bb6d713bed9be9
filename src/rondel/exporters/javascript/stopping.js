// Passes text on up to the earliest of some strings; holds back what may be the beginning of one.

export class StopScanner {
  constructor(stops) {
    this.stops = stops;
    const beginnings = new Set(stops.flatMap(stop => Array.from({ length: stop.length - 1 }, (_, n) => stop.slice(0, n + 1))));
    this.beginnings = [...beginnings].sort((a, b) => b.length - a.length);
    this.held = "";
    this.stopped = false;
  }

  push(piece) {
    if (!this.stops.length) return piece;
    if (this.stopped || !piece) return "";
    const text = this.held + piece;
    const begun = this.beginnings.find(part => text.endsWith(part))?.length ?? 0;
    const safe = text.length - begun, stop = this.#first(text);
    // A stop that is complete still waits for one that may have begun before it.
    this.stopped = stop <= safe && stop < text.length;
    const end = this.stopped ? stop : safe;
    this.held = this.stopped ? "" : text.slice(end);
    return text.slice(0, end);
  }

  finish() {
    const { held } = this, stop = this.#first(held);
    this.held = "";
    this.stopped ||= stop < held.length;
    return held.slice(0, stop);
  }

  #first(text) {
    const places = this.stops.map(stop => text.indexOf(stop)).filter(place => place >= 0);
    return Math.min(text.length, ...places);
  }
}
