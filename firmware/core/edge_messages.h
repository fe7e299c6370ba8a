/* The messages that a board sends, as frames (PROTOCOL.md), and the fields of those that it receives. */
#ifndef EDGE_MESSAGES_H
#define EDGE_MESSAGES_H

#include "edge_frame.h"

struct edge_hello {
    uint8_t protocol_version;
    uint8_t n_leads;
    uint32_t fs_mhz;
    uint8_t adc_bits;
    uint32_t lsb_pv;
    uint32_t time_scale_milli;
    uint16_t capabilities;
    const char *texts; /* in EDGE_FLASH: name, firmware, adc and every lead, each ended by a zero */
};

struct edge_status {
    uint32_t overruns;
    uint16_t queue;
    uint16_t supply_mv;
    uint32_t samples_sent;
};

void edge_encode_hello(struct edge_frame *frame, uint16_t sequence, const struct edge_hello *hello);
void edge_encode_status(struct edge_frame *frame, uint16_t sequence, const struct edge_status *status);
void edge_encode_stopped(struct edge_frame *frame, uint16_t sequence, uint64_t samples_sent);
void edge_encode_pong(struct edge_frame *frame, uint16_t sequence, uint32_t token, uint32_t board_ticks_us);

/* `text` in EDGE_FLASH, ended by a zero. */
void edge_encode_error(struct edge_frame *frame, uint16_t sequence, uint8_t code, const char *text);

/* DATA: what stands before its samples, then each count by edge_frame_u24(), then edge_frame_end(). */
void edge_encode_data(struct edge_frame *frame, uint16_t sequence, uint32_t first_sample, uint8_t lead_off,
                      uint8_t n_leads, uint8_t n_samples);

/* A u32 field of a payload that the receiver kept. */
uint32_t edge_decode_u32(const uint8_t *payload, uint8_t at);

#endif
