// The strip: standard paper, 25 mm/s and 10 mm/mV, written over from left to right as a bedside monitor does.
const MM = 96 / 25.4; // CSS pixels
const MM_PER_S = 25;
const MM_PER_MV = 10;
const LANE = 26; // CSS pixels above the first row, for the labels
const GAP_S = 0.3; // empty paper in front of the pen
const CLEAR_S = 0.2; // width of one large square
const KEEP_S = 60;
const LATE_S = 0.35; // the pen is so far behind the newest sample that batches do not make it jump
const MISSING = -(2 ** 31);
const COLOURS = { N: "#15803d", normal: "#15803d", S: "#b45309", V: "#c81e1e", abnormal: "#c81e1e", F: "#7e22ce", Q: "#0e7490" };
const BANDS = { S: "rgba(217,119,6,.13)", V: "rgba(200,30,30,.11)", abnormal: "rgba(200,30,30,.11)", F: "rgba(126,34,206,.11)" };

export class Strip {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.stream = null;
    this.drawn_ms = 0;
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    const turn = (now_ms) => {
      requestAnimationFrame(turn);
      if (now_ms - this.drawn_ms >= 30) this.draw(now_ms);
    };
    requestAnimationFrame(turn);
  }

  begin(stream) {
    this.stream = stream;
    this.beats = [];
    this.step = 0;
    this.newest_s = null;
    this.pen_s = null;
    this.resize();
  }

  setStream(stream) {
    this.stream = stream;
  }

  addSignal(piece) {
    const n_leads = this.stream.leads.length;
    const bytes = Uint8Array.from(atob(piece.uv), (c) => c.charCodeAt(0));
    const uv = new Int32Array(bytes.buffer);
    const n = uv.length / n_leads;
    if (!this.step) {
      this.step = piece.step;
      this.rate_hz = this.stream.fs_hz / piece.step;
      this.n_kept = Math.ceil(KEEP_S * this.rate_hz);
      this.rings = this.stream.leads.map(() => new Float32Array(this.n_kept).fill(NaN));
      this.next = piece.first / piece.step;
      this.base_mv = this.stream.leads.map(() => null);
      this.gain = 1;
      this.levelled_s = -1;
    }
    const first = piece.first / this.step;
    if (first - this.next > this.n_kept) this.next = first;
    for (; this.next < first; this.next++) for (const ring of this.rings) ring[this.next % this.n_kept] = NaN;
    for (let k = 0; k < n; k++)
      this.rings.forEach((ring, lead) => {
        const value = uv[k * n_leads + lead];
        ring[(first + k) % this.n_kept] = value === MISSING ? NaN : value / 1000;
      });
    this.next = Math.max(this.next, first + n);
    this.newest_s = this.next / this.rate_hz;
    this.canvas.dataset.newest_s = this.newest_s.toFixed(2);
    this.level();
  }

  addBeats(beats) {
    const known = new Set(this.beats.map((beat) => beat.sample));
    this.beats.push(...beats.filter((beat) => !known.has(beat.sample)));
    if (this.beats.length > 400) this.beats.splice(0, this.beats.length - 400);
  }

  // Front ends without a high-pass have an offset far off the paper: the middle of the last seconds is the middle of the row.
  level() {
    if (Math.abs(this.newest_s - this.levelled_s) < 0.5) return;
    this.levelled_s = this.newest_s;
    let spread_mv = 0;
    this.rings.forEach((ring, lead) => {
      const values = [];
      const every = Math.max(1, Math.round(this.rate_hz / 60));
      for (let k = Math.max(0, this.next - Math.round(4 * this.rate_hz)); k < this.next; k += every) {
        const value = ring[k % this.n_kept];
        if (value === value) values.push(value);
      }
      if (values.length < 20) return;
      values.sort((a, b) => a - b);
      const middle = values[values.length >> 1];
      const base = this.base_mv[lead];
      this.base_mv[lead] = base === null || Math.abs(middle - base) > 1 ? middle : base + 0.25 * (middle - base);
      spread_mv = Math.max(spread_mv, values[values.length - 1] - values[0]);
    });
    if (this.stream.calibrated || !spread_mv) return;
    const wanted = 2 / spread_mv; // no known millivolts: what fits the row
    if (wanted > 1.6 * this.gain || wanted < this.gain / 1.6) this.gain = wanted;
  }

  resize() {
    const n_leads = this.stream ? this.stream.leads.length : 1;
    const width = this.canvas.parentElement.clientWidth;
    this.row_mm = n_leads > 2 ? 25 : width < 600 ? 30 : 35;
    this.width = width;
    this.height = Math.round(LANE + n_leads * this.row_mm * MM);
    const ratio = window.devicePixelRatio || 1;
    this.canvas.style.height = `${this.height}px`;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(this.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.paper = this.drawPaper(ratio);
    // A whole number of large squares: the lines of the paper are at the same times after each turn.
    this.window_s = Math.max(1, Math.floor(width / (MM * MM_PER_S * CLEAR_S)) * CLEAR_S);
    this.draw(performance.now());
  }

  drawPaper(ratio) {
    const paper = document.createElement("canvas");
    paper.width = this.canvas.width;
    paper.height = this.canvas.height;
    const context = paper.getContext("2d");
    for (const [every, colour] of [[1, "#fbe3e1"], [5, "#f0b9b4"]]) {
      context.fillStyle = colour;
      const line = Math.max(1, Math.round(ratio));
      for (let k = 0; k * MM < this.width; k += every) context.fillRect(Math.round(k * MM * ratio), 0, line, paper.height);
      for (let k = 0; k * MM < this.height; k += every) context.fillRect(0, Math.round(k * MM * ratio), paper.width, line);
    }
    return paper;
  }

  draw(now_ms) {
    const context = this.context;
    if (!this.paper) return;
    context.clearRect(0, 0, this.width, this.height);
    context.drawImage(this.paper, 0, 0, this.width, this.height);
    const elapsed_s = Math.min(0.5, (now_ms - this.drawn_ms) / 1000);
    this.drawn_ms = now_ms;
    if (!this.stream || this.newest_s == null) return;
    this.movePen(elapsed_s);
    const oldest_s = Math.max(this.pen_s - this.window_s + GAP_S, 0);
    for (const beat of this.beats) if (BANDS[beat.label] && !beat.reject) this.drawBand(beat, oldest_s);
    // The names lie under the traces, which nothing may hide.
    this.stream.leads.forEach((name, lead) => this.drawName(name, lead));
    this.stream.leads.forEach((name, lead) => this.drawLead(lead, oldest_s));
    context.fillStyle = "#1d4ed8";
    context.fillRect(this.x(this.pen_s), 0, 1.5, this.height);
    for (const beat of this.beats) this.drawLabel(beat, oldest_s);
  }

  movePen(elapsed_s) {
    const scale = this.stream.time_scale || 1;
    const aim_s = this.newest_s - LATE_S * scale;
    const error_s = this.pen_s === null ? Infinity : aim_s - this.pen_s - elapsed_s * scale;
    if (Math.abs(error_s) > 1.5 * scale) this.pen_s = aim_s;
    else this.pen_s = Math.min(this.newest_s, this.pen_s + Math.max(0, elapsed_s * scale + 0.05 * error_s));
  }

  x(t_s) {
    return (((t_s % this.window_s) + this.window_s) % this.window_s) * MM_PER_S * MM;
  }

  drawLead(lead, oldest_s) {
    const context = this.context;
    const middle = LANE + (lead + 0.58) * this.row_mm * MM;
    const ring = this.rings[lead];
    const base = this.base_mv[lead] ?? 0;
    const scale = this.gain * MM_PER_MV * MM;
    context.strokeStyle = "#111827";
    context.lineWidth = 1.3;
    context.lineJoin = "round";
    context.beginPath();
    let is_down = false;
    let last_x = 0;
    const end = Math.min(this.next, Math.floor(this.pen_s * this.rate_hz));
    for (let k = Math.max(this.next - this.n_kept, Math.ceil(oldest_s * this.rate_hz)); k < end; k++) {
      const value = ring[k % this.n_kept];
      const x = this.x(k / this.rate_hz);
      if (value !== value) {
        is_down = false;
        continue;
      }
      const y = middle - (value - base) * scale;
      if (is_down && x >= last_x) context.lineTo(x, y);
      else context.moveTo(x, y);
      is_down = true;
      last_x = x;
    }
    context.stroke();
  }

  drawName(name, lead) {
    const context = this.context;
    context.font = "600 13px system-ui, sans-serif";
    const is_labelled = name === this.stream.lead;
    const top = LANE + lead * this.row_mm * MM + 14;
    context.fillStyle = "rgba(255,247,246,.85)";
    context.fillRect(3, top - 13, context.measureText(name).width + 8, 17);
    context.fillStyle = is_labelled ? "#1c2430" : "#5d6878";
    context.fillText(name, 7, top);
  }

  isShown(beat, oldest_s) {
    return beat.t_s >= oldest_s && beat.t_s <= this.pen_s;
  }

  drawBand(beat, oldest_s) {
    if (!this.isShown(beat, oldest_s)) return;
    this.context.fillStyle = BANDS[beat.label];
    this.context.fillRect(this.x(beat.t_s) - 0.25 * MM_PER_S * MM, 0, 0.5 * MM_PER_S * MM, this.height);
  }

  drawLabel(beat, oldest_s) {
    if (!this.isShown(beat, oldest_s)) return;
    const context = this.context;
    const x = this.x(beat.t_s);
    context.font = `${BANDS[beat.label] ? "700 15px" : "600 13px"} system-ui, sans-serif`;
    context.textAlign = "center";
    context.fillStyle = beat.reject ? "#94a0b0" : COLOURS[beat.label] || "#0e7490";
    const text = beat.reject ? `(${beat.label})` : beat.label;
    context.strokeStyle = "#fff7f6"; // a high R may reach up here
    context.lineWidth = 4;
    context.strokeText(text, x, 16);
    context.fillText(text, x, 16);
    context.fillRect(x - 0.75, 20, 1.5, 5);
    context.textAlign = "left";
  }
}
