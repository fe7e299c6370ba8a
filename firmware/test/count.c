/* The core's receiver at the end of a pipe of any bytes: how many good frames were among them, and a CRC-16 over what
 * it kept of each (its length first). */
#include <stdio.h>

#include "edge_frame.h"

static uint8_t bytes[1 << 16];
static struct edge_receiver receiver;

int main(void)
{
    unsigned long n_frames = 0;
    uint16_t crc = 0xFFFFu;
    size_t n, at;
    edge_receiver_reset(&receiver);
    while ((n = fread(bytes, 1, sizeof(bytes), stdin)) > 0) {
        for (at = 0; at < n; at++) {
            uint16_t length = edge_receiver_feed(&receiver, bytes[at]);
            uint16_t kept = length < EDGE_KEPT_BYTES ? length : EDGE_KEPT_BYTES, index;
            if (length > 0) {
                n_frames++;
                crc = edge_crc16(edge_crc16(crc, (uint8_t)length), (uint8_t)(length >> 8));
                for (index = 0; index < kept; index++) {
                    crc = edge_crc16(crc, receiver.kept[index]);
                }
            }
        }
    }
    printf("%lu %u\n", n_frames, (unsigned)crc);
    return 0;
}
