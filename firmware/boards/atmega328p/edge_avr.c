/* ATmega328P at 16 MHz: Timer1 starts each conversion of A0 in hardware, the interrupt of the ADC takes it.
 *
 * Timer1 counts half microseconds from 0 to the end of a sampling period: at half of it compare unit B starts the
 * conversion, at its end compare unit A adds the period to the microseconds. */
#include "edge_avr.h"

#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

#include "edge_board.h"
#include "edge_bytes.h"

#define BAUD 115200ul
#define TICKS_PER_US (F_CPU / 8ul / 1000000ul)
#define IDLE_PERIOD_US 10000u

#define ADC_ON (_BV(ADEN) | _BV(ADPS2) | _BV(ADPS1) | _BV(ADPS0)) /* 125 kHz: 104 us a conversion */
#define ADC_BY_TIMER1_B (_BV(ADTS2) | _BV(ADTS0))
#define MUX_A0 _BV(REFS0)
#define MUX_BAND_GAP (_BV(REFS0) | _BV(MUX3) | _BV(MUX2) | _BV(MUX1))
#define BAND_GAP_MV 1100ul
#define BAND_GAP_CONVERSIONS 10 /* 1 ms, for the voltage to settle behind the multiplexer */

#define LEAD_OFF_PINS (_BV(PB2) | _BV(PB3)) /* D10 = LO+, D11 = LO- */

static struct edge_board board;
static struct edge_bytes to_host, from_host;
static volatile uint32_t period_began_us;
static uint16_t period_us;
static volatile uint8_t woken;      /* an interrupt left work for the main loop */
static bool sampling;
static uint16_t supply_mv;

ISR(USART_RX_vect)
{
    edge_bytes_push(&from_host, UDR0); /* what finds no room spoils a command, which its CRC tells */
    woken = 1;
}

ISR(USART_UDRE_vect)
{
    int16_t byte = edge_bytes_take(&to_host);
    if (byte < 0) {
        UCSR0B &= (uint8_t)~_BV(UDRIE0);
    } else {
        UDR0 = (uint8_t)byte;
    }
    woken = 1;
}

ISR(TIMER1_COMPA_vect)
{
    period_began_us += period_us;
}

ISR(ADC_vect)
{
    int16_t count = (int16_t)ADC;
    uint8_t lead_off = EDGE_LEAD_OFF_KNOWN | ((PINB & LEAD_OFF_PINS) != 0 ? 1u : 0u);
    TIFR1 = _BV(OCF1B); /* the next rise of this flag starts the next conversion */
    edge_ring_push(&board.ring, &count, lead_off);
    woken = 1;
}

uint16_t edge_port_put(const uint8_t *bytes, uint16_t n)
{
    uint16_t taken = 0;
    while (taken < n && edge_bytes_push(&to_host, bytes[taken])) {
        taken++;
    }
    UCSR0B |= _BV(UDRIE0); /* cut in two, it is still right: the interrupt only ever clears this bit */
    return taken;
}

int16_t edge_port_get(void)
{
    return edge_bytes_take(&from_host);
}

uint32_t edge_port_micros(void)
{
    uint32_t now_us;
    uint16_t ticks;
    cli();
    now_us = period_began_us;
    ticks = TCNT1;
    if ((TIFR1 & _BV(OCF1A)) != 0 && ticks < period_us) {
        now_us += period_us; /* a period has just ended, in its first half the interrupt still waits */
    }
    sei();
    return now_us + ticks / TICKS_PER_US;
}

static void use_period(uint16_t new_period_us)
{
    uint32_t now_us = edge_port_micros();
    cli();
    TCNT1 = 0;
    OCR1A = (uint16_t)(TICKS_PER_US * new_period_us - 1u);
    OCR1B = new_period_us;
    TIFR1 = _BV(OCF1A) | _BV(OCF1B);
    period_began_us = now_us;
    period_us = new_period_us;
    sei();
}

/* What AVcc is, by the band gap: 1.1 V within 10 % from part to part. */
static void measure_supply(void)
{
    uint8_t left;
    ADMUX = MUX_BAND_GAP;
    for (left = BAND_GAP_CONVERSIONS; left > 0; left--) {
        ADCSRA = ADC_ON | _BV(ADSC);
        while ((ADCSRA & _BV(ADSC)) != 0) {
        }
    }
    supply_mv = (uint16_t)(BAND_GAP_MV * 1024ul / ADC);
    ADMUX = MUX_A0;
}

/* Between sessions as it is now; while A0 is sampled, as it was before. */
uint16_t edge_port_supply_mv(void)
{
    if (!sampling) {
        measure_supply();
    }
    return supply_mv;
}

bool edge_port_start(uint32_t fs_mhz)
{
    measure_supply();
    sampling = true;
    use_period((uint16_t)(1000000000ul / fs_mhz));
    ADCSRB = ADC_BY_TIMER1_B;
    ADCSRA = ADC_ON | _BV(ADATE) | _BV(ADIF) | _BV(ADIE);
    return true;
}

void edge_port_stop(void)
{
    ADCSRA = ADC_ON;
    while ((ADCSRA & _BV(ADSC)) != 0) {
    }
    sampling = false;
}

void edge_avr_begin(void)
{
    cli();
    UCSR0A = _BV(U2X0);
    UBRR0 = (F_CPU / 4ul / BAUD - 1ul) / 2ul;
    UCSR0C = _BV(UCSZ01) | _BV(UCSZ00);
    UCSR0B = _BV(RXEN0) | _BV(TXEN0) | _BV(RXCIE0);
    DDRB &= (uint8_t)~LEAD_OFF_PINS;
    PORTB &= (uint8_t)~LEAD_OFF_PINS; /* the AD8232 drives them */
    DIDR0 = _BV(ADC0D);
    TCCR1A = 0;
    TCCR1B = _BV(WGM12) | _BV(CS11);
    TIMSK1 = _BV(OCIE1A);
    ADCSRA = ADC_ON;
    use_period(IDLE_PERIOD_US);
    set_sleep_mode(SLEEP_MODE_IDLE);
    sei();
    measure_supply();
    edge_board_init(&board);
}

void edge_avr_poll(void)
{
    woken = 0;
    edge_board_poll(&board);
    cli();
    if (!woken) {
        sleep_enable();
        sei(); /* takes effect after the next instruction: no interrupt can slip in before it sleeps */
        sleep_cpu();
        sleep_disable();
    }
    sei();
}
