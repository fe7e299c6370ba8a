/* The serial protocol in numbers (firmware_bridge/PROTOCOL.md). Generated from firmware_bridge/wire.py by
 * `python -m firmware_bridge.c_header`: change it there. */
#ifndef EDGE_WIRE_H
#define EDGE_WIRE_H

/* Frames and limits */
#define EDGE_PROTOCOL_VERSION 1u
#define EDGE_HEADER_BYTES 4u
#define EDGE_CRC_BYTES 2u
#define EDGE_MAX_BODY_BYTES 2048u
#define EDGE_MAX_ENCODED_BYTES 2063u
#define EDGE_MAX_LEADS 12u
#define EDGE_MAX_FRAME_SAMPLES 255u
#define EDGE_MAX_FRAME_MS 40u
#define EDGE_COUNT_BYTES 3u

/* Capabilities, in HELLO */
#define EDGE_CAN_LEAD_OFF 0x01u
#define EDGE_CAN_SET_RATE 0x02u
#define EDGE_CAN_SUPPLY 0x04u
#define EDGE_SIMULATED 0x08u

/* Lead-off, in DATA */
#define EDGE_LEAD_OFF_KNOWN 0x80u

/* Error codes, in ERROR */
#define EDGE_ERROR_UNKNOWN_COMMAND 1u
#define EDGE_ERROR_UNSUPPORTED 2u
#define EDGE_ERROR_BAD_VALUE 3u
#define EDGE_ERROR_ADC 4u

/* Types of messages */
#define EDGE_TYPE_HELLO_REQUEST 0x01u
#define EDGE_TYPE_START 0x02u
#define EDGE_TYPE_STOP 0x03u
#define EDGE_TYPE_STATUS_REQUEST 0x04u
#define EDGE_TYPE_PING 0x05u
#define EDGE_TYPE_SET_RATE 0x06u
#define EDGE_TYPE_HELLO 0x81u
#define EDGE_TYPE_DATA 0x82u
#define EDGE_TYPE_STATUS 0x83u
#define EDGE_TYPE_STOPPED 0x84u
#define EDGE_TYPE_PONG 0x85u
#define EDGE_TYPE_ERROR 0x86u

/* PING: fields in the body */
#define EDGE_PING_TOKEN_AT 0u
#define EDGE_PING_FIXED_BYTES 4u

/* SET_RATE: fields in the body */
#define EDGE_SET_RATE_FS_MHZ_AT 0u
#define EDGE_SET_RATE_FIXED_BYTES 4u

/* HELLO: fields in the body; then u8 length + UTF-8 each: name, firmware, adc, then every lead */
#define EDGE_HELLO_PROTOCOL_VERSION_AT 0u
#define EDGE_HELLO_N_LEADS_AT 1u
#define EDGE_HELLO_FS_MHZ_AT 2u
#define EDGE_HELLO_ADC_BITS_AT 6u
#define EDGE_HELLO_LSB_PV_AT 7u
#define EDGE_HELLO_TIME_SCALE_MILLI_AT 11u
#define EDGE_HELLO_CAPABILITIES_AT 15u
#define EDGE_HELLO_FIXED_BYTES 17u

/* DATA: fields in the body; then n_samples x n_leads signed 24-bit numbers, sample-major */
#define EDGE_DATA_FIRST_SAMPLE_AT 0u
#define EDGE_DATA_LEAD_OFF_AT 4u
#define EDGE_DATA_N_LEADS_AT 5u
#define EDGE_DATA_N_SAMPLES_AT 6u
#define EDGE_DATA_FIXED_BYTES 7u

/* STATUS: fields in the body */
#define EDGE_STATUS_OVERRUNS_AT 0u
#define EDGE_STATUS_QUEUE_AT 4u
#define EDGE_STATUS_SUPPLY_MV_AT 6u
#define EDGE_STATUS_SAMPLES_SENT_AT 8u
#define EDGE_STATUS_FIXED_BYTES 12u

/* STOPPED: fields in the body */
#define EDGE_STOPPED_SAMPLES_SENT_AT 0u
#define EDGE_STOPPED_FIXED_BYTES 8u

/* PONG: fields in the body */
#define EDGE_PONG_TOKEN_AT 0u
#define EDGE_PONG_BOARD_TICKS_US_AT 4u
#define EDGE_PONG_FIXED_BYTES 8u

/* ERROR: fields in the body; then UTF-8 to the end of the body */
#define EDGE_ERROR_CODE_AT 0u
#define EDGE_ERROR_FIXED_BYTES 1u

#endif
