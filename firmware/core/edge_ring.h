/* Samples between the sampling interrupt, which pushes, and the main loop, which takes.
 *
 * Each sample carries its number, so what was dropped while the ring was full shows as a gap. Either side writes one
 * index of eight bits, which no interrupt can cut in two: no lock is needed on one core. */
#ifndef EDGE_RING_H
#define EDGE_RING_H

#include <stdint.h>

#include "edge_port.h"

struct edge_sample {
    uint32_t number;
    uint8_t lead_off; /* as in DATA */
    EDGE_COUNT counts[EDGE_N_LEADS];
};

struct edge_ring {
    volatile uint8_t pushed; /* both run modulo 256; the interrupt writes this one */
    volatile uint8_t taken;  /* the main loop this one */
    uint32_t next_number;    /* of the next sample, dropped or not; the interrupt's, while it samples */
    volatile struct edge_sample samples[EDGE_RING_SAMPLES];
};

/* In the interrupt: number a sample and keep it if there is room. */
void edge_ring_push(struct edge_ring *ring, const EDGE_COUNT *counts, uint8_t lead_off);

/* How many samples wait. */
uint8_t edge_ring_waiting(const struct edge_ring *ring);

/* A waiting sample, 0 the oldest. */
const volatile struct edge_sample *edge_ring_peek(const struct edge_ring *ring, uint8_t index);

/* Of the first `at_most` waiting samples, how many follow the oldest one without a gap. */
uint8_t edge_ring_run(const struct edge_ring *ring, uint8_t at_most);

/* Give back the room of the oldest `n`. */
void edge_ring_drop(struct edge_ring *ring, uint8_t n);

#endif
