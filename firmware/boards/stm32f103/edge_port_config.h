/* STM32F103 ("Blue Pill", 3.3 V, 8 MHz crystal) with an AD8232 front end. */
#ifndef EDGE_PORT_CONFIG_H
#define EDGE_PORT_CONFIG_H

/* Volts at PA0 per volt at the electrodes, as for the ATmega328P. */
#ifndef EDGE_FRONT_END_GAIN
#define EDGE_FRONT_END_GAIN 1100
#endif

#define EDGE_NAME "STM32 + AD8232"
#define EDGE_ADC "STM32F103"
#define EDGE_LEADS "ECG"
#define EDGE_N_LEADS 1
#define EDGE_ADC_BITS 12
#define EDGE_LSB_PV ((uint32_t)(3300000000000ull / 4096u / EDGE_FRONT_END_GAIN))
#define EDGE_RATES_MHZ {250000ul, 500000ul, 1000000ul}
#define EDGE_COUNT int16_t
#define EDGE_RING_SAMPLES 128
#define EDGE_FRAME_BYTES 192
#define EDGE_CAPABILITIES (EDGE_CAN_LEAD_OFF | EDGE_CAN_SUPPLY)

#endif
