/* The board on this machine: plays counts of a file as fast as they are read. */
#ifndef EDGE_PORT_CONFIG_H
#define EDGE_PORT_CONFIG_H

#define EDGE_NAME "Host board"
#define EDGE_ADC "file"
#ifndef EDGE_N_LEADS
#define EDGE_LEADS "MLII\0" "V1"
#define EDGE_N_LEADS 2
#endif
#define EDGE_ADC_BITS 24
#define EDGE_LSB_PV 5000000ul
#ifndef EDGE_RATES_MHZ
#define EDGE_RATES_MHZ {360000ul, 250000ul}
#endif
#define EDGE_COUNT int32_t
#define EDGE_RING_SAMPLES 64
#define EDGE_FRAME_BYTES 2066
#define EDGE_CAPABILITIES (EDGE_CAN_LEAD_OFF | EDGE_SIMULATED)
#define EDGE_TIME_SCALE_MILLI 0 /* unpaced */

#endif
