#include "edge_messages.h"

/* A text of flash and its zero; returns what lies behind it. */
static const char *put_string(struct edge_frame *frame, const char *text)
{
    const char *end = text;
    while (EDGE_FLASH_BYTE(end) != 0) {
        end++;
    }
    edge_frame_u8(frame, (uint8_t)(end - text));
    for (; text != end; text++) {
        edge_frame_u8(frame, (uint8_t)EDGE_FLASH_BYTE(text));
    }
    return end + 1;
}

void edge_encode_hello(struct edge_frame *frame, uint16_t sequence, const struct edge_hello *hello)
{
    const char *text = hello->texts;
    uint8_t left;
    edge_frame_begin(frame, EDGE_TYPE_HELLO, sequence);
    edge_frame_u8(frame, hello->protocol_version);
    edge_frame_u8(frame, hello->n_leads);
    edge_frame_u32(frame, hello->fs_mhz);
    edge_frame_u8(frame, hello->adc_bits);
    edge_frame_u32(frame, hello->lsb_pv);
    edge_frame_u32(frame, hello->time_scale_milli);
    edge_frame_u16(frame, hello->capabilities);
    for (left = (uint8_t)(3u + hello->n_leads); left > 0; left--) {
        text = put_string(frame, text);
    }
    edge_frame_end(frame);
}

void edge_encode_status(struct edge_frame *frame, uint16_t sequence, const struct edge_status *status)
{
    edge_frame_begin(frame, EDGE_TYPE_STATUS, sequence);
    edge_frame_u32(frame, status->overruns);
    edge_frame_u16(frame, status->queue);
    edge_frame_u16(frame, status->supply_mv);
    edge_frame_u32(frame, status->samples_sent);
    edge_frame_end(frame);
}

void edge_encode_stopped(struct edge_frame *frame, uint16_t sequence, uint64_t samples_sent)
{
    edge_frame_begin(frame, EDGE_TYPE_STOPPED, sequence);
    edge_frame_u32(frame, (uint32_t)samples_sent);
    edge_frame_u32(frame, (uint32_t)(samples_sent >> 32));
    edge_frame_end(frame);
}

void edge_encode_pong(struct edge_frame *frame, uint16_t sequence, uint32_t token, uint32_t board_ticks_us)
{
    edge_frame_begin(frame, EDGE_TYPE_PONG, sequence);
    edge_frame_u32(frame, token);
    edge_frame_u32(frame, board_ticks_us);
    edge_frame_end(frame);
}

void edge_encode_error(struct edge_frame *frame, uint16_t sequence, uint8_t code, const char *text)
{
    edge_frame_begin(frame, EDGE_TYPE_ERROR, sequence);
    edge_frame_u8(frame, code);
    for (; EDGE_FLASH_BYTE(text) != 0; text++) {
        edge_frame_u8(frame, (uint8_t)EDGE_FLASH_BYTE(text));
    }
    edge_frame_end(frame);
}

void edge_encode_data(struct edge_frame *frame, uint16_t sequence, uint32_t first_sample, uint8_t lead_off,
                      uint8_t n_leads, uint8_t n_samples)
{
    edge_frame_begin(frame, EDGE_TYPE_DATA, sequence);
    edge_frame_u32(frame, first_sample);
    edge_frame_u8(frame, lead_off);
    edge_frame_u8(frame, n_leads);
    edge_frame_u8(frame, n_samples);
}

uint32_t edge_decode_u32(const uint8_t *payload, uint8_t at)
{
    const uint8_t *body = payload + EDGE_HEADER_BYTES + at;
    return (uint32_t)body[0] | (uint32_t)body[1] << 8 | (uint32_t)body[2] << 16 | (uint32_t)body[3] << 24;
}
