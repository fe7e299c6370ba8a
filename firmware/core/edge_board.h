/* A board of the protocol: answers commands and sends samples, in the main loop. */
#ifndef EDGE_BOARD_H
#define EDGE_BOARD_H

#include "edge_frame.h"
#include "edge_ring.h"

#define EDGE_FIRMWARE "edge-ecg 0.1.0"

enum edge_state {
    EDGE_WAITING,   /* for START */
    EDGE_STREAMING, /* DATA as frames fill */
    EDGE_ENDING     /* no more sampling: send what waits, then STOPPED */
};

struct edge_board {
    enum edge_state state;
    uint32_t fs_mhz;
    uint8_t per_frame;      /* samples of a whole DATA frame */
    uint16_t sequence;      /* of the next frame */
    uint32_t next_sample;   /* number of the next sample to send */
    uint32_t overruns;      /* since reset */
    uint32_t sent;          /* samples of this session, modulo 2^32 */
    uint64_t advanced;      /* of the sample number in this session */
    struct edge_ring ring;
    struct edge_receiver receiver;
    struct edge_frame frame; /* on its way to the line */
};

/* After a reset; the first poll says HELLO. */
void edge_board_init(struct edge_board *board);

/* Do what there is to do, without waiting. Call it again and again, at least each time a byte came, the line took
 * some, or a sample was pushed. */
void edge_board_poll(struct edge_board *board);

/* End the session from this side: a record or a battery came to its end. */
void edge_board_end(struct edge_board *board);

#endif
