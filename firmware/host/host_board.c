/* A board on this machine, for tests of the core and of programs that read it.
 *
 *   host_board [--pty] [--burst N] FILE
 *
 * FILE: 32-bit numbers in the machine's order, a row a sample: lead-off bits as in DATA, then a count of each lead.
 * Each session plays it from the beginning and ends with it. The line is stdin and stdout, or a pseudo terminal whose
 * name is printed; the end of stdin ends the program either way.
 * --burst N: the ADC makes N samples each time the main loop comes by, whether there is room or not. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "edge_board.h"
#include "terminal.h"

#define COLUMNS (1 + EDGE_N_LEADS)

static struct edge_board board;
static struct {
    int32_t *rows;
    size_t n_rows;
    size_t next;
    bool sampling;
    unsigned long burst; /* 0: what there is room for */
} adc;
static struct {
    int in, out;
    uint8_t received[4096];
    ssize_t n_received, n_taken;
} line;

uint16_t edge_port_put(const uint8_t *bytes, uint16_t n)
{
    ssize_t written = write(line.out, bytes, n);
    if (written < 0 && errno != EAGAIN && errno != EINTR) {
        exit(0); /* nobody listens any more */
    }
    return (uint16_t)(written < 0 ? 0 : written);
}

int16_t edge_port_get(void)
{
    return line.n_taken < line.n_received ? line.received[line.n_taken++] : -1;
}

uint32_t edge_port_micros(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
}

bool edge_port_start(uint32_t fs_mhz)
{
    (void)fs_mhz;
    adc.next = 0;
    adc.sampling = adc.n_rows > 0; /* an empty file is an ADC that does not answer */
    return adc.sampling;
}

void edge_port_stop(void)
{
    adc.sampling = false;
}

uint16_t edge_port_supply_mv(void)
{
    return 0;
}

/* What the sampling interrupt does on a microcontroller. */
static void sample(void)
{
    unsigned long n = adc.burst > 0 ? adc.burst : (unsigned long)EDGE_RING_SAMPLES - edge_ring_waiting(&board.ring);
    for (; n > 0 && adc.next < adc.n_rows; n--, adc.next++) {
        const int32_t *row = adc.rows + adc.next * COLUMNS;
        edge_ring_push(&board.ring, row + 1, (uint8_t)row[0]);
    }
    if (adc.next == adc.n_rows) {
        edge_board_end(&board);
    }
}

static void load(const char *name)
{
    FILE *file = fopen(name, "rb");
    long n_bytes;
    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (n_bytes = ftell(file)) < 0) {
        perror(name);
        exit(1);
    }
    rewind(file);
    adc.n_rows = (size_t)n_bytes / (COLUMNS * sizeof(int32_t));
    adc.rows = malloc(adc.n_rows * COLUMNS * sizeof(int32_t) + 1);
    if (adc.rows == NULL || fread(adc.rows, COLUMNS * sizeof(int32_t), adc.n_rows, file) != adc.n_rows) {
        perror(name);
        exit(1);
    }
    fclose(file);
}

/* Wait until the line has something, or takes something; false at the end of stdin. */
static bool wait_for_line(void)
{
    bool unsent = board.frame.sent < board.frame.length;
    struct pollfd watched[3] = {{0, POLLIN, 0}, {0, POLLIN, 0}, {0, POLLOUT, 0}};
    watched[0].fd = STDIN_FILENO;
    watched[1].fd = line.in;
    watched[2].fd = unsent ? line.out : -1;
    poll(watched, 3, adc.sampling && !unsent ? 0 : -1);
    if (line.n_taken == line.n_received && (watched[1].revents & (POLLIN | POLLHUP)) != 0) {
        line.n_taken = 0;
        line.n_received = read(line.in, line.received, sizeof(line.received));
        if (line.n_received < 0) {
            line.n_received = 0;
        } else if (line.n_received == 0) {
            return false;
        }
    }
    if (line.in != STDIN_FILENO && watched[0].revents != 0) {
        char ignored;
        return read(STDIN_FILENO, &ignored, 1) > 0;
    }
    return true;
}

int main(int argc, char **argv)
{
    int index;
    line.in = STDIN_FILENO;
    line.out = STDOUT_FILENO;
    for (index = 1; index < argc - 1; index++) {
        if (strcmp(argv[index], "--pty") == 0) {
            line.in = line.out = open_terminal();
        } else if (strcmp(argv[index], "--burst") == 0) {
            adc.burst = strtoul(argv[++index], NULL, 10);
        }
    }
    if (argc < 2) {
        fputs("usage: host_board [--pty] [--burst N] FILE\n", stderr);
        return 2;
    }
    load(argv[argc - 1]);
    edge_board_init(&board);
    do {
        if (adc.sampling) {
            sample();
        }
        edge_board_poll(&board);
    } while (wait_for_line());
    /* What was asked for before the end of stdin is still answered. */
    while (edge_board_poll(&board), board.frame.sent < board.frame.length || board.state != EDGE_WAITING) {
        if (adc.sampling) {
            sample();
        }
    }
    free(adc.rows);
    return 0;
}
