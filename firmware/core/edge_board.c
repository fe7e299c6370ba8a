#include "edge_board.h"

#include "edge_messages.h"

#define N_TEXT_BYTES (sizeof(texts) - 1u) /* each with its zero, which stands for the length byte on the wire */
#define N_RATES (sizeof(rates_mhz) / sizeof(rates_mhz[0]))

/* A zero byte and the delimiter, the code bytes of COBS, header and CRC: what a frame takes beside its body. */
#define AROUND_BODY (2u + 1u + EDGE_FRAME_BYTES / 254u + EDGE_HEADER_BYTES + EDGE_CRC_BYTES)
#define SAMPLE_BYTES (EDGE_COUNT_BYTES * EDGE_N_LEADS)
#define MAX_SAMPLES ((EDGE_FRAME_BYTES - AROUND_BODY - EDGE_DATA_FIXED_BYTES) / SAMPLE_BYTES)

static const uint32_t rates_mhz[] = EDGE_RATES_MHZ;
static const char texts[] EDGE_FLASH = EDGE_NAME "\0" EDGE_FIRMWARE "\0" EDGE_ADC "\0" EDGE_LEADS "\0";
static const char unknown_command[] EDGE_FLASH = "unknown command";
static const char no_such_rate[] EDGE_FLASH = "no such rate";
static const char one_rate_only[] EDGE_FLASH = "one rate only";
static const char between_sessions[] EDGE_FLASH = "only between sessions";
static const char no_adc[] EDGE_FLASH = "ADC fault";

typedef char hello_fits[AROUND_BODY + EDGE_HELLO_FIXED_BYTES + N_TEXT_BYTES <= EDGE_FRAME_BYTES ? 1 : -1];
typedef char error_fits[AROUND_BODY + EDGE_ERROR_FIXED_BYTES + sizeof(between_sessions) <= EDGE_FRAME_BYTES ? 1 : -1];
typedef char sample_fits[AROUND_BODY + EDGE_DATA_FIXED_BYTES + SAMPLE_BYTES <= EDGE_FRAME_BYTES ? 1 : -1];

static uint32_t at_most(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void use_rate(struct edge_board *board, uint32_t fs_mhz)
{
    uint32_t in_time = fs_mhz / (1000000u / EDGE_MAX_FRAME_MS);
    uint32_t n = at_most(at_most(in_time, MAX_SAMPLES), at_most(EDGE_MAX_FRAME_SAMPLES, EDGE_RING_SAMPLES));
    board->fs_mhz = fs_mhz;
    board->per_frame = (uint8_t)(n > 0 ? n : 1u);
}

static void say_hello(struct edge_board *board)
{
    struct edge_hello hello;
    hello.protocol_version = EDGE_PROTOCOL_VERSION;
    hello.n_leads = EDGE_N_LEADS;
    hello.fs_mhz = board->fs_mhz;
    hello.adc_bits = EDGE_ADC_BITS;
    hello.lsb_pv = EDGE_LSB_PV;
    hello.time_scale_milli = EDGE_TIME_SCALE_MILLI;
    hello.capabilities = EDGE_CAPABILITIES | (N_RATES > 1 ? EDGE_CAN_SET_RATE : 0);
    hello.texts = texts;
    edge_encode_hello(&board->frame, board->sequence++, &hello);
}

static void say_error(struct edge_board *board, uint8_t code, const char *text)
{
    edge_encode_error(&board->frame, board->sequence++, code, text);
}

static void say_status(struct edge_board *board)
{
    struct edge_status status;
    status.overruns = board->overruns;
    status.queue = edge_ring_waiting(&board->ring);
    status.supply_mv = edge_port_supply_mv();
    status.samples_sent = board->sent;
    edge_encode_status(&board->frame, board->sequence++, &status);
}

static void advance(struct edge_board *board, uint32_t n)
{
    board->next_sample += n;
    board->advanced += n;
}

/* Samples dropped before `number`, which is the next one there is. */
static void count_overruns(struct edge_board *board, uint32_t number)
{
    uint32_t dropped = number - board->next_sample;
    board->overruns += dropped;
    advance(board, dropped);
}

/* DATA of what waits, up to the next gap, when it fills a frame or nothing more can be added to it. */
static bool send_samples(struct edge_board *board)
{
    uint8_t waiting = edge_ring_waiting(&board->ring);
    uint8_t lead_off = 0;
    uint8_t index, lead, n;
    if (waiting == 0) {
        return false;
    }
    n = edge_ring_run(&board->ring, waiting < board->per_frame ? waiting : board->per_frame);
    if (board->state == EDGE_STREAMING && n < board->per_frame && n == waiting) {
        return false;
    }
    count_overruns(board, edge_ring_peek(&board->ring, 0)->number);
    for (index = 0; index < n; index++) {
        lead_off |= edge_ring_peek(&board->ring, index)->lead_off;
    }
    edge_encode_data(&board->frame, board->sequence++, board->next_sample, lead_off, EDGE_N_LEADS, n);
    for (index = 0; index < n; index++) {
        const volatile struct edge_sample *sample = edge_ring_peek(&board->ring, index);
        for (lead = 0; lead < EDGE_N_LEADS; lead++) {
            edge_frame_u24(&board->frame, (uint32_t)(int32_t)sample->counts[lead]);
        }
    }
    edge_frame_end(&board->frame);
    edge_ring_drop(&board->ring, n);
    board->sent += n;
    advance(board, n);
    return true;
}

static void start(struct edge_board *board)
{
    if (board->state == EDGE_WAITING && !edge_port_start(board->fs_mhz)) {
        say_error(board, EDGE_ERROR_ADC, no_adc);
        return;
    }
    board->state = EDGE_STREAMING;
    board->sent = 0;
    board->advanced = 0;
}

static void stop(struct edge_board *board)
{
    if (board->state == EDGE_STREAMING) {
        edge_port_stop();
    }
    board->state = EDGE_ENDING;
}

static void say_stopped(struct edge_board *board)
{
    count_overruns(board, board->ring.next_number);
    edge_encode_stopped(&board->frame, board->sequence++, board->advanced);
    board->state = EDGE_WAITING;
}

static void set_rate(struct edge_board *board, uint32_t fs_mhz)
{
    uint8_t index;
    if (N_RATES == 1) {
        say_error(board, EDGE_ERROR_UNSUPPORTED, one_rate_only);
        return;
    }
    if (board->state != EDGE_WAITING) {
        say_error(board, EDGE_ERROR_UNSUPPORTED, between_sessions);
        return;
    }
    for (index = 0; index < N_RATES; index++) {
        if (rates_mhz[index] == fs_mhz) {
            use_rate(board, fs_mhz);
            say_hello(board);
            return;
        }
    }
    say_error(board, EDGE_ERROR_BAD_VALUE, no_such_rate);
}

static void answer(struct edge_board *board, const uint8_t *payload, uint16_t length)
{
    uint8_t type = payload[1];
    uint16_t n_fixed = type == EDGE_TYPE_PING       ? EDGE_PING_FIXED_BYTES
                       : type == EDGE_TYPE_SET_RATE ? EDGE_SET_RATE_FIXED_BYTES
                                                    : 0;
    /* Types from 0x80 on are a board's own: an echo must not be answered for ever. */
    if (length < EDGE_HEADER_BYTES || (type & 0x80u) != 0) {
        return;
    }
    if (payload[0] != EDGE_PROTOCOL_VERSION) {
        if (type == EDGE_TYPE_HELLO_REQUEST) {
            say_hello(board); /* whoever asks in another version learns which one is spoken here */
        }
        return;
    }
    if (length != EDGE_HEADER_BYTES + n_fixed) {
        type = 0;
    }
    switch (type) {
    case EDGE_TYPE_HELLO_REQUEST:
        say_hello(board);
        break;
    case EDGE_TYPE_START:
        start(board);
        break;
    case EDGE_TYPE_STOP:
        stop(board);
        break;
    case EDGE_TYPE_STATUS_REQUEST:
        say_status(board);
        break;
    case EDGE_TYPE_PING:
        edge_encode_pong(&board->frame, board->sequence++, edge_decode_u32(payload, EDGE_PING_TOKEN_AT),
                         edge_port_micros());
        break;
    case EDGE_TYPE_SET_RATE:
        set_rate(board, edge_decode_u32(payload, EDGE_SET_RATE_FS_MHZ_AT));
        break;
    default:
        say_error(board, EDGE_ERROR_UNKNOWN_COMMAND, unknown_command);
    }
}

/* Give the port what it takes of the frame under way; true when all of it is gone. */
static bool line_is_free(struct edge_board *board)
{
    struct edge_frame *frame = &board->frame;
    if (frame->sent < frame->length) {
        uint16_t left = (uint16_t)(frame->length - frame->sent);
        frame->sent = (uint16_t)(frame->sent + edge_port_put(frame->bytes + frame->sent, left));
    }
    return frame->sent == frame->length;
}

/* Hear commands until one asks for an answer or ends the session. */
static void hear(struct edge_board *board)
{
    int16_t byte;
    while (board->state != EDGE_ENDING && board->frame.sent == board->frame.length &&
           (byte = edge_port_get()) >= 0) {
        uint16_t length = edge_receiver_feed(&board->receiver, (uint8_t)byte);
        if (length > 0) {
            answer(board, board->receiver.kept, length);
        }
    }
}

void edge_board_init(struct edge_board *board)
{
    board->state = EDGE_WAITING;
    board->sequence = 0;
    board->next_sample = 0;
    board->overruns = 0;
    board->sent = 0;
    board->advanced = 0;
    board->ring.pushed = 0;
    board->ring.taken = 0;
    board->ring.next_number = 0;
    edge_receiver_reset(&board->receiver);
    use_rate(board, rates_mhz[0]);
    say_hello(board);
}

void edge_board_poll(struct edge_board *board)
{
    /* Samples go first: they are few for the line, and an answer can wait where a sample cannot. */
    while (line_is_free(board)) {
        if (board->state != EDGE_WAITING && send_samples(board)) {
            continue;
        }
        if (board->state == EDGE_ENDING) {
            say_stopped(board);
            continue;
        }
        hear(board);
        if (board->state != EDGE_ENDING && board->frame.sent == board->frame.length) {
            return;
        }
    }
}

void edge_board_end(struct edge_board *board)
{
    if (board->state == EDGE_STREAMING) {
        stop(board);
    }
}
