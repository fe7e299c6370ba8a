/* What a board supplies; everything else is common. `edge_port_config.h` holds its constants:
 *
 *   EDGE_NAME, EDGE_ADC      what the board and its ADC are called, as string literals
 *   EDGE_LEADS               names of the leads, each but the last followed by "\0": "I\0" "II"
 *   EDGE_N_LEADS             how many they are, 1 to 12
 *   EDGE_ADC_BITS            1 to 32
 *   EDGE_LSB_PV              picovolts at the electrode of one count; 0 = unknown
 *   EDGE_RATES_MHZ           list of the rates there are, in 0.001 Hz, the one after a reset first: {250000, 500000}
 *   EDGE_COUNT               type of a count: int16_t or int32_t
 *   EDGE_RING_SAMPLES        samples that may wait for the line: a power of two up to 128
 *   EDGE_FRAME_BYTES         room for the largest frame that it sends, zero bytes included
 *   EDGE_CAPABILITIES        EDGE_CAN_LEAD_OFF, EDGE_CAN_SUPPLY, EDGE_SIMULATED or 0; SET_RATE follows from the rates
 *
 * and where they differ from what stands below: EDGE_TIME_SCALE_MILLI, EDGE_FLASH, EDGE_FLASH_BYTE.
 *
 * The sampling interrupt gives each sample to edge_ring_push(), with its lead-off bits. */
#ifndef EDGE_PORT_H
#define EDGE_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "edge_wire.h"

#include "edge_port_config.h"

#ifndef EDGE_TIME_SCALE_MILLI
#define EDGE_TIME_SCALE_MILLI 1000
#endif

/* Where constants lie in another memory than variables, how to put them there and how to read a byte of them. */
#ifndef EDGE_FLASH
#define EDGE_FLASH
#define EDGE_FLASH_BYTE(address) (*(address))
#endif

/* Take as many of these bytes as there is room for now, and say how many; never wait. */
uint16_t edge_port_put(const uint8_t *bytes, uint16_t n);

/* The next byte that came, or -1. */
int16_t edge_port_get(void);

/* Microseconds since some moment, modulo 2^32. */
uint32_t edge_port_micros(void);

/* Begin to sample at one of EDGE_RATES_MHZ; false when the ADC cannot. */
bool edge_port_start(uint32_t fs_mhz);

/* End it: when this returns, no further sample comes. */
void edge_port_stop(void);

/* Supply voltage, or 0 when the board cannot tell. */
uint16_t edge_port_supply_mv(void);

#endif
