/* The board as an Arduino library, for boards with an ATmega328P at 16 MHz: see the example Board.
 * It takes the UART, Timer1 and the ADC: a sketch uses neither Serial, nor analogRead(), nor PWM on D9 and D10. */
#ifndef EDGE_ECG_H
#define EDGE_ECG_H

#include "edge_avr.h"

#endif
