/* Bytes between an interrupt of the line and the main loop, one of which pushes and the other takes. For ports. */
#ifndef EDGE_BYTES_H
#define EDGE_BYTES_H

#include <stdbool.h>
#include <stdint.h>

#define EDGE_BYTES_ROOM 64u /* a power of two up to 128 */

struct edge_bytes {
    volatile uint8_t pushed; /* both run modulo 256 */
    volatile uint8_t taken;
    volatile uint8_t bytes[EDGE_BYTES_ROOM];
};

/* Keep a byte; false when there is no room. */
static inline bool edge_bytes_push(struct edge_bytes *ring, uint8_t byte)
{
    uint8_t pushed = ring->pushed;
    if ((uint8_t)(pushed - ring->taken) == EDGE_BYTES_ROOM) {
        return false;
    }
    ring->bytes[pushed & (EDGE_BYTES_ROOM - 1u)] = byte;
    ring->pushed = (uint8_t)(pushed + 1u);
    return true;
}

/* The oldest byte, or -1. */
static inline int16_t edge_bytes_take(struct edge_bytes *ring)
{
    uint8_t taken = ring->taken;
    uint8_t byte;
    if (taken == ring->pushed) {
        return -1;
    }
    byte = ring->bytes[taken & (EDGE_BYTES_ROOM - 1u)];
    ring->taken = (uint8_t)(taken + 1u);
    return byte;
}

#endif
