/* The core's frames and messages at the end of a pipe, a line a request: tests write and read it.
 *
 *   feed HEX                      -> "PAYLOAD_BYTES KEPT_HEX" of each good frame, space between; the receiver goes on
 *   NAME SEQUENCE FIELDS...       -> the frame in hex; strings are given in hex, each ended by a zero byte */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge_messages.h"

static char line[1 << 18];
static uint8_t bytes[1 << 16];
static struct edge_frame frame;
static struct edge_receiver receiver;

static uint64_t number(void)
{
    const char *word = strtok(NULL, " \n");
    return word == NULL ? 0 : strtoull(word, NULL, 10);
}

static size_t hex(void)
{
    const char *word = strtok(NULL, " \n");
    size_t n = 0;
    unsigned value;
    for (; word != NULL && sscanf(word, "%2x", &value) == 1; word += 2) {
        bytes[n++] = (uint8_t)value;
    }
    return n;
}

static void show(const uint8_t *data, size_t n)
{
    for (; n > 0; n--) {
        printf("%02x", *data++);
    }
}

static void feed(void)
{
    size_t n = hex(), index;
    for (index = 0; index < n; index++) {
        uint16_t length = edge_receiver_feed(&receiver, bytes[index]);
        if (length > 0) {
            printf("%u ", (unsigned)length);
            show(receiver.kept, length < EDGE_KEPT_BYTES ? length : EDGE_KEPT_BYTES);
            putchar(' ');
        }
    }
}

static void encode_hello(uint16_t sequence)
{
    struct edge_hello hello;
    hello.protocol_version = (uint8_t)number();
    hello.n_leads = (uint8_t)number();
    hello.fs_mhz = (uint32_t)number();
    hello.adc_bits = (uint8_t)number();
    hello.lsb_pv = (uint32_t)number();
    hello.time_scale_milli = (uint32_t)number();
    hello.capabilities = (uint16_t)number();
    hex();
    hello.texts = (const char *)bytes;
    edge_encode_hello(&frame, sequence, &hello);
}

static void encode_status(uint16_t sequence)
{
    struct edge_status status;
    status.overruns = (uint32_t)number();
    status.queue = (uint16_t)number();
    status.supply_mv = (uint16_t)number();
    status.samples_sent = (uint32_t)number();
    edge_encode_status(&frame, sequence, &status);
}

static void encode_data(uint16_t sequence)
{
    uint32_t first_sample = (uint32_t)number();
    uint8_t lead_off = (uint8_t)number();
    uint8_t n_leads = (uint8_t)number();
    uint8_t n_samples = (uint8_t)number();
    unsigned left;
    edge_encode_data(&frame, sequence, first_sample, lead_off, n_leads, n_samples);
    for (left = (unsigned)n_leads * n_samples; left > 0; left--) {
        edge_frame_u24(&frame, (uint32_t)number());
    }
    edge_frame_end(&frame);
}

static void encode(const char *name)
{
    uint16_t sequence = (uint16_t)number();
    if (strcmp(name, "HELLO") == 0) {
        encode_hello(sequence);
    } else if (strcmp(name, "DATA") == 0) {
        encode_data(sequence);
    } else if (strcmp(name, "STATUS") == 0) {
        encode_status(sequence);
    } else if (strcmp(name, "STOPPED") == 0) {
        edge_encode_stopped(&frame, sequence, number());
    } else if (strcmp(name, "PONG") == 0) {
        uint32_t token = (uint32_t)number();
        edge_encode_pong(&frame, sequence, token, (uint32_t)number());
    } else if (strcmp(name, "ERROR") == 0) {
        uint8_t code = (uint8_t)number();
        hex();
        edge_encode_error(&frame, sequence, code, (const char *)bytes);
    } else {
        fprintf(stderr, "no message %s\n", name);
        exit(2);
    }
    show(frame.bytes, frame.length);
}

int main(void)
{
    edge_receiver_reset(&receiver);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        const char *name = strtok(line, " \n");
        if (name != NULL && strcmp(name, "feed") == 0) {
            feed();
        } else if (name != NULL) {
            encode(name);
        }
        putchar('\n');
        fflush(stdout);
    }
    return 0;
}
