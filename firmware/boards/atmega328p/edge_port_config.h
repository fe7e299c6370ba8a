/* Arduino Uno or Nano (ATmega328P, 5 V, 16 MHz) with an AD8232 front end. */
#ifndef EDGE_PORT_CONFIG_H
#define EDGE_PORT_CONFIG_H

#include <avr/pgmspace.h>

/* Volts at A0 per volt at the electrodes: 100 of the AD8232's instrumentation amplifier, times 1 + R9/R8 = 1 + 1 M/100 k
 * of its operational amplifier, as SparkFun's board wires it (schematic v10, sparkfun/AD8232_Heart_Rate_Monitor 309675f).
 * Another board, another gain: -DEDGE_FRONT_END_GAIN=100 where the operational amplifier adds none. */
#ifndef EDGE_FRONT_END_GAIN
#define EDGE_FRONT_END_GAIN 1100
#endif

/* The reference of the ADC is the supply, AVcc. */
#ifndef EDGE_SUPPLY_MV
#define EDGE_SUPPLY_MV 5000
#endif

#define EDGE_NAME "Arduino + AD8232"
#define EDGE_ADC "ATmega328P"
#define EDGE_LEADS "ECG"
#define EDGE_N_LEADS 1
#define EDGE_ADC_BITS 10
#define EDGE_LSB_PV ((uint32_t)(EDGE_SUPPLY_MV * 1000000000ull / 1024u / EDGE_FRONT_END_GAIN))
#define EDGE_RATES_MHZ {250000ul, 500000ul}
#define EDGE_COUNT int16_t
#define EDGE_RING_SAMPLES 64
#define EDGE_FRAME_BYTES 96
#define EDGE_CAPABILITIES (EDGE_CAN_LEAD_OFF | EDGE_CAN_SUPPLY)
#define EDGE_FLASH PROGMEM
#define EDGE_FLASH_BYTE(address) pgm_read_byte(address)

#endif
