#include "edge_frame.h"

uint16_t edge_crc16(uint16_t crc, uint8_t byte)
{
    crc = (uint16_t)((crc >> 8) | (crc << 8));
    crc ^= byte;
    crc ^= (uint16_t)((crc & 0xFFu) >> 4);
    crc ^= (uint16_t)(crc << 12);
    crc ^= (uint16_t)((crc & 0xFFu) << 5);
    return crc;
}

static void append(struct edge_frame *frame, uint8_t byte)
{
    if (frame->length < EDGE_FRAME_BYTES) {
        frame->bytes[frame->length++] = byte;
    } else {
        frame->too_long = true;
    }
}

static void open_block(struct edge_frame *frame)
{
    frame->code_at = frame->length;
    frame->code = 1;
    append(frame, 0); /* its code, known when the block ends */
}

static void close_block(struct edge_frame *frame)
{
    if (!frame->too_long) {
        frame->bytes[frame->code_at] = frame->code;
    }
}

static void stuff(struct edge_frame *frame, uint8_t byte)
{
    /* A full block is followed by another one only when something follows. */
    if (frame->code == 0xFF) {
        close_block(frame);
        open_block(frame);
    }
    if (byte == 0) {
        close_block(frame);
        open_block(frame);
    } else {
        append(frame, byte);
        frame->code++;
    }
}

void edge_frame_begin(struct edge_frame *frame, uint8_t type, uint16_t sequence)
{
    frame->length = 0;
    frame->sent = 0;
    frame->crc = 0xFFFF;
    frame->too_long = false;
    if (type != EDGE_TYPE_DATA) {
        append(frame, 0);
    }
    open_block(frame);
    edge_frame_u8(frame, EDGE_PROTOCOL_VERSION);
    edge_frame_u8(frame, type);
    edge_frame_u16(frame, sequence);
}

void edge_frame_u8(struct edge_frame *frame, uint8_t value)
{
    frame->crc = edge_crc16(frame->crc, value);
    stuff(frame, value);
}

void edge_frame_u16(struct edge_frame *frame, uint16_t value)
{
    edge_frame_u8(frame, (uint8_t)value);
    edge_frame_u8(frame, (uint8_t)(value >> 8));
}

void edge_frame_u24(struct edge_frame *frame, uint32_t value)
{
    edge_frame_u16(frame, (uint16_t)value);
    edge_frame_u8(frame, (uint8_t)(value >> 16));
}

void edge_frame_u32(struct edge_frame *frame, uint32_t value)
{
    edge_frame_u16(frame, (uint16_t)value);
    edge_frame_u16(frame, (uint16_t)(value >> 16));
}

void edge_frame_end(struct edge_frame *frame)
{
    uint16_t crc = frame->crc;
    stuff(frame, (uint8_t)crc);
    stuff(frame, (uint8_t)(crc >> 8));
    close_block(frame);
    append(frame, 0);
    if (frame->too_long) {
        frame->length = 0;
    }
}

void edge_receiver_reset(struct edge_receiver *receiver)
{
    receiver->encoded = 0;
    receiver->decoded = 0;
    receiver->crc = 0xFFFF;
    receiver->code = 0xFF; /* no zero stands before the first block */
    receiver->left = 0;
}

/* A byte of payload or CRC: the two before it are held back, since the last two of a frame are its CRC. */
static void take(struct edge_receiver *receiver, uint8_t byte)
{
    if (receiver->decoded < EDGE_KEPT_BYTES) {
        receiver->kept[receiver->decoded] = byte;
    }
    if (receiver->decoded >= EDGE_CRC_BYTES) {
        receiver->crc = edge_crc16(receiver->crc, receiver->last[0]);
    }
    receiver->last[0] = receiver->last[1];
    receiver->last[1] = byte;
    receiver->decoded++;
}

static uint16_t end_frame(const struct edge_receiver *receiver)
{
    uint16_t crc = (uint16_t)(receiver->last[0] | (uint16_t)receiver->last[1] << 8);
    if (receiver->encoded > EDGE_MAX_ENCODED_BYTES || receiver->left != 0 || receiver->decoded <= EDGE_CRC_BYTES ||
        receiver->crc != crc) {
        return 0;
    }
    return (uint16_t)(receiver->decoded - EDGE_CRC_BYTES);
}

uint16_t edge_receiver_feed(struct edge_receiver *receiver, uint8_t byte)
{
    if (byte == 0) {
        uint16_t length = end_frame(receiver);
        edge_receiver_reset(receiver);
        return length;
    }
    if (receiver->encoded > EDGE_MAX_ENCODED_BYTES) {
        return 0; /* too long for a frame: wait for its end */
    }
    receiver->encoded++;
    if (receiver->left > 0) {
        receiver->left--;
        take(receiver, byte);
        return 0;
    }
    if (receiver->code != 0xFF) {
        take(receiver, 0);
    }
    receiver->code = byte;
    receiver->left = (uint8_t)(byte - 1);
    return 0;
}
