/* Frames on a byte stream: COBS, a zero byte as delimiter, CRC-16. Knows no message. */
#ifndef EDGE_FRAME_H
#define EDGE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "edge_port.h"

/* Header and the longest fixed field of a command: what the receiver keeps of a payload. */
#define EDGE_KEPT_BYTES (EDGE_HEADER_BYTES + 4u)

/* A frame as it goes over the line, encoded while it is written. */
struct edge_frame {
    uint16_t length;  /* bytes written */
    uint16_t sent;    /* bytes of them that the port has taken */
    uint16_t code_at; /* where the code of the open COBS block stands */
    uint16_t crc;
    uint8_t code;
    bool too_long;
    uint8_t bytes[EDGE_FRAME_BYTES];
};

/* What comes over the line, decoded byte by byte: only the beginning of a payload is kept, so that a frame of any
 * length costs no memory. */
struct edge_receiver {
    uint16_t encoded; /* bytes since the last delimiter */
    uint16_t decoded; /* payload and CRC so far */
    uint16_t crc;     /* over all but the last two bytes, which may be the CRC itself */
    uint8_t last[EDGE_CRC_BYTES];
    uint8_t code;     /* of the block being read */
    uint8_t left;     /* bytes of it still to come */
    uint8_t kept[EDGE_KEPT_BYTES];
};

/* CRC-16/CCITT-FALSE, one byte further; begins with 0xFFFF. */
uint16_t edge_crc16(uint16_t crc, uint8_t byte);

/* Begin a frame; any but DATA gets a zero byte before it, since what comes once only must not be swallowed. */
void edge_frame_begin(struct edge_frame *frame, uint8_t type, uint16_t sequence);

void edge_frame_u8(struct edge_frame *frame, uint8_t value);
void edge_frame_u16(struct edge_frame *frame, uint16_t value);
void edge_frame_u24(struct edge_frame *frame, uint32_t value); /* the low 24 bits */
void edge_frame_u32(struct edge_frame *frame, uint32_t value);

/* Close it. A frame that does not fit in EDGE_FRAME_BYTES becomes one of no bytes. */
void edge_frame_end(struct edge_frame *frame);

void edge_receiver_reset(struct edge_receiver *receiver);

/* Take a byte of the line; the length of the payload when it ends a good frame, else 0.
 * `kept` then holds the beginning of the payload, until the next byte. */
uint16_t edge_receiver_feed(struct edge_receiver *receiver, uint8_t byte);

#endif
