/* The board of an ATmega328P: call begin once, then poll for ever. Takes Timer1, the ADC and the UART. */
#ifndef EDGE_AVR_H
#define EDGE_AVR_H

#ifdef __cplusplus
extern "C" {
#endif

void edge_avr_begin(void);

/* Do what there is to do, then sleep until an interrupt. */
void edge_avr_poll(void);

#ifdef __cplusplus
}
#endif

#endif
