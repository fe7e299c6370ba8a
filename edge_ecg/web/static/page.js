// The page: what the stream tells, put where it belongs. Texts go in as text only, never as markup.
import { Strip } from "./strip.js";
import { Hours, Tachogram } from "./charts.js";

const SILENT_MS = 5000; // a state comes each second: without one the connection is as good as lost
const RETRY_MS = 2000;
const N_RECENT = 24;
const KEEP_S = 300;

const STATES = { starting: "starting", waiting: "waiting for the board", streaming: "streaming", lead_off: "electrode off", noisy: "noisy", stopping: "stopping" };
const RHYTHMS = {
  sinus: "sinus",
  af_suspected: "atrial fibrillation suspected",
  atrial_suspected: "atrial rhythm suspected",
  fibrillation_suspected: "ventricular fibrillation suspected",
  paced_suspected: "pacemaker suspected",
  unknown: "not known",
};
const KINDS = { v_run: "run of V", s_run: "run of S", pause: "pause" };

const element = (id) => document.getElementById(id);
const number = (value, digits = 0) => (value == null ? "--" : value.toFixed(digits));
const grouped = (value) => value.toLocaleString("en");
const clock = (utc) => (utc ? new Date(utc).toLocaleTimeString([], { hour12: false }) : "");

function say(id, text, grade = "") {
  const place = element(id);
  if (place.textContent !== text) place.textContent = text;
  place.classList.remove("warn", "bad");
  if (grade) place.classList.add(grade);
}

function list(id, rows) {
  element(id).replaceChildren(
    ...rows.flatMap(([name, value, grade]) => {
      const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
      dt.textContent = name;
      dd.textContent = value;
      if (grade) dd.className = grade;
      return [dt, dd];
    }),
  );
}

function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 90) return `${s} s`;
  if (s < 5400) return `${Math.floor(s / 60)} min`;
  return s < 172800 ? `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min` : `${Math.floor(s / 86400)} days`;
}

class Page {
  constructor() {
    this.strip = new Strip(element("strip"));
    this.tachogram = new Tachogram(element("tachogram"));
    this.hours = new Hours(element("hours"));
    this.beats = [];
    this.state = null;
    this.heard_ms = Date.now();
    this.connect();
    setInterval(() => this.watch(), 1000);
  }

  connect() {
    if (this.source) this.source.close();
    this.source = new EventSource("/stream");
    this.tried_ms = Date.now();
    this.source.onmessage = (message) => this.take(JSON.parse(message.data));
  }

  // The browser comes back by itself after a broken connection, but not after a refusal or a silence.
  async watch() {
    const now_ms = Date.now();
    if (now_ms - this.heard_ms > SILENT_MS) this.lose();
    else if (this.source.readyState !== EventSource.OPEN && now_ms - this.tried_ms > RETRY_MS) this.lose();
    const is_tired = this.source.readyState === EventSource.CLOSED || now_ms - this.heard_ms > SILENT_MS;
    if (!is_tired || now_ms - this.tried_ms < RETRY_MS) return;
    this.tried_ms = now_ms;
    try {
      const answer = await fetch("/healthz");
      if (answer.status === 401) location.assign("/login");
      this.connect();
    } catch {
      // Still nobody there.
    }
  }

  lose() {
    if (!this.lost_ms) this.lost_ms = this.heard_ms;
    document.body.classList.add("old");
    this.showState();
  }

  take(told) {
    this.heard_ms = Date.now();
    if (this.lost_ms) {
      this.lost_ms = 0;
      document.body.classList.remove("old");
      if (this.state) this.showState();
    }
    if (told.state) {
      const before = this.state?.stream?.id;
      const stream = told.state.stream;
      if (!told.begin && stream && stream.id !== before) return this.connect(); // its beginning was dropped
      this.state = told.state;
      if (told.begin) this.begin(stream);
      else if (stream) this.strip.setStream(stream);
    }
    const beats = (told.beats || []).map(([sample, t_s, rr_s, label, reject]) => ({ sample, t_s, rr_s, label, reject }));
    for (const piece of told.signal || []) this.strip.addSignal(piece);
    if (beats.length) this.addBeats(beats);
    if (told.state) this.showState();
  }

  begin(stream) {
    this.beats = [];
    element("recent").replaceChildren();
    if (stream) this.strip.begin(stream);
  }

  addBeats(beats) {
    const newest = this.beats.length ? this.beats[this.beats.length - 1].sample : -1;
    const fresh = beats.filter((beat) => beat.sample > newest);
    this.beats.push(...fresh);
    while (this.beats.length && this.beats[0].t_s < this.beats[this.beats.length - 1].t_s - KEEP_S) this.beats.shift();
    this.strip.addBeats(fresh);
    const recent = element("recent");
    for (const beat of fresh.slice(-N_RECENT)) {
      const item = document.createElement("li");
      item.textContent = beat.label;
      item.className = /^\w+$/.test(beat.label) ? beat.label : "";
      if (beat.reject) {
        item.classList.add("reject");
        item.title = "not to be used";
      }
      item.dataset.t_s = beat.t_s;
      recent.append(item);
    }
    while (recent.children.length > N_RECENT) recent.firstChild.remove();
  }

  showState() {
    const state = this.state;
    const name = this.lost_ms ? "lost" : state ? state.state.name : "connecting";
    document.body.dataset.state = name;
    element("state").className = `pill ${name}`;
    say("state", this.lost_ms ? "no connection" : STATES[name] || name);
    this.showBanner(state);
    if (!state) return;
    say("state-detail", [state.board.port, state.state.detail].filter(Boolean).join(" · "));
    say("clock", clock(state.utc));
    this.showTiles(state);
    this.showTables(state);
    const newest_s = state.stream ? state.stream.t_s : 0;
    this.tachogram.show(this.beats, newest_s);
    this.hours.show(state.burden.hours);
    document.title = state.heart.hr_bpm == null ? "edge-ecg" : `${number(state.heart.hr_bpm)} /min · edge-ecg`;
  }

  showBanner(state) {
    const [text, grade] = this.bannerOf(state);
    const banner = element("banner");
    banner.hidden = !text;
    banner.className = grade || "";
    if (banner.textContent !== text) banner.textContent = text;
  }

  bannerOf(state) {
    const is_over = state && state.state.name === "stopping";
    if (this.lost_ms) {
      const since = new Date(this.lost_ms).toLocaleTimeString([], { hour12: false });
      const why = is_over ? "edge-ecg was stopped" : "No connection to edge-ecg";
      return [`${why}: nothing since ${since}, what you see is old. Trying again.`, "bad"];
    }
    if (!state) return ["", ""];
    if (is_over) return ["edge-ecg is stopping.", "bad"];
    if (state.state.name === "waiting" || state.state.name === "starting") return [`No signal: ${STATES[state.state.name]}.`, "calm"];
    if (state.signal.lead_off || state.state.name === "lead_off") return ["Electrode off.", ""];
    if (state.rhythm.state === "fibrillation_suspected") return ["Ventricular flutter or fibrillation suspected: labels mean little.", "bad"];
    if (state.samples.idle_s > 3) return [`No sample for ${duration(state.samples.idle_s)}.`, ""];
    if (state.rhythm.state === "paced_suspected") return ["Pacemaker suspected: labels mean little.", ""];
    if (state.signal.noisy) return [`Noisy${causes(state)}: beats are marked, do not use them.`, ""];
    return ["", ""];
  }

  showTiles(state) {
    const { heart, rhythm, signal, burden, model, stream } = state;
    say("hr", number(heart.hr_bpm));
    say("rr", heart.rr_s == null ? "R-R --" : `R-R ${number(1000 * heart.rr_s)} ms`);
    const is_grave = rhythm.state === "fibrillation_suspected";
    say("rhythm", RHYTHMS[rhythm.state] || rhythm.state || "not known yet", is_grave ? "bad" : (rhythm.state || "").endsWith("suspected") ? "warn" : "");
    say("rhythm-since", rhythm.since_utc ? `since ${clock(rhythm.since_utc)}` : "");
    if (signal.lead_off) say("signal", "electrode off", "warn");
    else if (signal.noisy) say("signal", `noisy${causes(state)}`, "warn");
    else say("signal", stream ? "usable" : "--");
    say("quality", signal.quality == null ? "" : `beat quality ${number(100 * signal.quality)} %`);
    const hour = burden.hours[burden.hours.length - 1];
    say("burden", hour ? `${number(hour.ectopic_percent, 1)} % this hour` : "--");
    say("burden-day", burden.percent == null ? "" : `${number(burden.percent, 1)} % in 24 hours`);
    say("delay", state.delay_s == null ? "--" : `${number(state.delay_s, 1)} s after R`);
    say("model", model ? [`by ${model.id}`, model.operating_point].filter(Boolean).join(", ") : "");
    say("scale", !stream || stream.calibrated ? "25 mm/s, 10 mm/mV" : "25 mm/s, a.u. (no known mV, scaled to fit)");
  }

  showTables(state) {
    const { beats, link, samples, stream, outputs } = state;
    const labels = Object.entries(beats.labels).sort((a, b) => b[1] - a[1]);
    list("beats", [["since the start", grouped(beats.total)], ...labels.map(([label, n]) => [label, grouped(n)]), ["not to be used", grouped(beats.rejected)]]);
    const episodes = state.episodes.map((e) => [clock(e.utc) || `${number(e.t_s)} s`, `${KINDS[e.kind] || e.kind}${e.beats ? ` of ${e.beats}` : ""}, ${number(e.length_s, 1)} s${e.over ? "" : " so far"}`]);
    list("episodes", episodes.length ? episodes.reverse() : [["none", ""]]);
    const rows = [["samples", grouped(samples.total)], ["lost", grouped(samples.lost), samples.lost ? "bad" : ""], ["gaps", grouped(samples.gaps)]];
    if (stream) rows.unshift(["rate", `${+stream.fs_hz.toFixed(2)} Hz`], ["leads", stream.leads.map((lead) => (lead === stream.lead ? `${lead} (labelled)` : lead)).join(", ")]);
    if (link) {
      rows.push(["bad frames", grouped(link.crc_errors + link.frame_errors)], ["overruns", grouped(link.overruns)], ["reconnects", grouped(link.reconnects)]);
      if (link.drift_ppm != null) rows.push(["clock", `${link.drift_ppm >= 0 ? "+" : ""}${number(link.drift_ppm)} ppm`]);
    }
    list("link", rows);
    const uptime = duration(state.uptime_s);
    const failing = Object.entries(outputs).map(([name, o]) => {
      const lost = o.n_dropped + o.n_blocks_dropped;
      return [name, o.failure ? `losing: ${o.failure}` : lost ? `${grouped(lost)} lost` : "fine", o.failure ? "bad" : ""];
    });
    list("daemon", [["running for", uptime], ["version", state.version], ["labelling takes", `${number((100 * state.processing_s) / Math.max(1, state.uptime_s), 1)} %`], ...failing]);
  }
}

function causes(state) {
  return state.signal.causes.length ? ` (${state.signal.causes.join(", ")})` : "";
}

new Page();
