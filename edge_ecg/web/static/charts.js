// R-R intervals and ectopic beats per hour, drawn by uPlot.
const COLOUR_S = "#b45309";
const COLOUR_V = "#c81e1e";
const GRID = { stroke: "#e8ebef", width: 1 };
const AXIS = { stroke: "#5d6878", font: "12px system-ui, sans-serif", grid: GRID, ticks: { show: false } };

function plot(host, options, data) {
  const size = () => ({ width: host.clientWidth, height: host.clientHeight });
  const chart = new uPlot({ ...size(), legend: { show: false }, cursor: { show: false }, ...options }, data, host);
  new ResizeObserver(() => chart.setSize(size())).observe(host);
  return chart;
}

function dots(stroke) {
  return { stroke, paths: () => null, points: { show: true, size: 7, fill: stroke, width: 0 } };
}

export class Tachogram {
  constructor(host) {
    this.chart = plot(
      host,
      {
        scales: { x: { time: false, range: () => [-300, 0] }, y: { range: (u, low, high) => rrRange(low, high) } },
        axes: [
          { ...AXIS, size: 24, values: (u, marks) => marks.map((t_s) => (t_s ? `${t_s / 60} min` : "now")), splits: () => [-300, -240, -180, -120, -60, 0] },
          { ...AXIS, size: 44, space: 26, incrs: [0.1, 0.2, 0.5, 1, 2], values: (u, marks) => marks.map((rr_s) => `${rr_s.toFixed(1)} s`) },
        ],
        series: [
          {},
          { stroke: "#64748b", width: 1, points: { show: true, size: 3.5, fill: "#64748b", width: 0 }, spanGaps: false },
          dots(COLOUR_S),
          dots(COLOUR_V),
        ],
      },
      [[], [], [], []],
    );
  }

  show(beats, newest_s) {
    const seen = beats.filter((beat) => beat.t_s > newest_s - 300 && !beat.reject);
    const of = (labels) => seen.map((beat) => (labels.includes(beat.label) ? beat.rr_s : null));
    this.chart.setData([
      seen.map((beat) => beat.t_s - newest_s),
      seen.map((beat) => beat.rr_s),
      of(["S"]),
      of(["V", "F", "abnormal"]),
    ]);
  }
}

function rrRange(low, high) {
  return low == null ? [0, 2] : [Math.max(0, Math.floor(low * 5 - 0.5) / 5), Math.ceil(high * 5 + 0.5) / 5];
}

export class Hours {
  constructor(host) {
    this.now = 0;
    this.clocked = true;
    const bars = (stroke) => ({ stroke, fill: stroke, width: 0, paths: uPlot.paths.bars({ size: [0.7, 40], align: 1 }), points: { show: false } });
    this.chart = plot(
      host,
      {
        scales: { x: { time: false, range: () => [this.now - 23, this.now + 1] }, y: { range: (u, low, high) => [0, Math.max(5, high * 1.15)] } },
        axes: [
          { ...AXIS, size: 24, splits: () => this.marks(), values: (u, marks) => marks.map((hour) => this.hourText(hour)) },
          { ...AXIS, size: 40, values: (u, marks) => marks.map((percent) => `${percent} %`) },
        ],
        series: [{}, bars(COLOUR_S), bars(COLOUR_V)],
      },
      [[], [], []],
    );
  }

  marks() {
    const marks = [];
    for (let hour = this.now - 23; hour <= this.now + 1; hour++) if (this.localHour(hour) % 6 === 0) marks.push(hour);
    return marks;
  }

  localHour(hour) {
    return this.clocked ? new Date(hour * 3600e3).getHours() : hour;
  }

  hourText(hour) {
    return this.clocked ? `${String(this.localHour(hour)).padStart(2, "0")}:00` : `${hour} h`;
  }

  show(hours) {
    this.clocked = !hours.length || hours[0].begin_utc !== null;
    this.now = hours.length ? hours[hours.length - 1].hour : Math.floor(Date.now() / 3600e3);
    const share = (hour, labels) => (100 * labels.reduce((n, label) => n + (hour.labels[label] || 0), 0)) / hour.beats;
    // The red bar stands in front of that of all: what shows above it is S.
    this.chart.setData([
      hours.map((hour) => hour.hour),
      hours.map((hour) => share(hour, ["S", "V", "F", "abnormal"])),
      hours.map((hour) => share(hour, ["V", "F", "abnormal"])),
    ]);
  }
}
