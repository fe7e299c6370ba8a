#include "edge_ring.h"

#define MASK (EDGE_RING_SAMPLES - 1u)

typedef char ring_is_a_power_of_two_up_to_128[EDGE_RING_SAMPLES <= 128 && (EDGE_RING_SAMPLES & MASK) == 0 ? 1 : -1];

void edge_ring_push(struct edge_ring *ring, const EDGE_COUNT *counts, uint8_t lead_off)
{
    uint8_t pushed = ring->pushed;
    uint32_t number = ring->next_number++;
    if ((uint8_t)(pushed - ring->taken) < EDGE_RING_SAMPLES) {
        volatile struct edge_sample *sample = &ring->samples[pushed & MASK];
        uint8_t lead;
        sample->number = number;
        sample->lead_off = lead_off;
        for (lead = 0; lead < EDGE_N_LEADS; lead++) {
            sample->counts[lead] = counts[lead];
        }
        ring->pushed = (uint8_t)(pushed + 1u);
    }
}

uint8_t edge_ring_waiting(const struct edge_ring *ring)
{
    return (uint8_t)(ring->pushed - ring->taken);
}

const volatile struct edge_sample *edge_ring_peek(const struct edge_ring *ring, uint8_t index)
{
    return &ring->samples[(uint8_t)(ring->taken + index) & MASK];
}

uint8_t edge_ring_run(const struct edge_ring *ring, uint8_t at_most)
{
    uint32_t first = edge_ring_peek(ring, 0)->number;
    uint8_t n = 0;
    while (n < at_most && edge_ring_peek(ring, n)->number == first + n) {
        n++;
    }
    return n;
}

void edge_ring_drop(struct edge_ring *ring, uint8_t n)
{
    ring->taken = (uint8_t)(ring->taken + n);
}
