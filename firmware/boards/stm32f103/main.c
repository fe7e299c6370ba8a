/* STM32F103: SysTick paces the samples and counts the microseconds, its interrupt converts A0 (22 us at 12 MHz).
 *
 * Pins: PA0 = OUTPUT, PB10 = LO+, PB11 = LO-, PA9 and PA10 = the line at 115200 baud. Every wait for the hardware has
 * an end: without a crystal the board runs at 8 MHz, and an ADC that never answers gives zeros. */
#include "edge_board.h"
#include "edge_bytes.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define BIT(n) (1ul << (n))

#define RCC_CR REGISTER(0x40021000)
#define RCC_CFGR REGISTER(0x40021004)
#define RCC_APB2ENR REGISTER(0x40021018)
#define FLASH_ACR REGISTER(0x40022000)
#define GPIOA_CRL REGISTER(0x40010800)
#define GPIOA_CRH REGISTER(0x40010804)
#define GPIOA_ODR REGISTER(0x4001080C)
#define GPIOB_IDR REGISTER(0x40010C08)
#define USART1_SR REGISTER(0x40013800)
#define USART1_DR REGISTER(0x40013804)
#define USART1_BRR REGISTER(0x40013808)
#define USART1_CR1 REGISTER(0x4001380C)
#define ADC1_SR REGISTER(0x40012400)
#define ADC1_CR2 REGISTER(0x40012408)
#define ADC1_SMPR1 REGISTER(0x4001240C)
#define ADC1_SMPR2 REGISTER(0x40012410)
#define ADC1_SQR3 REGISTER(0x40012434)
#define ADC1_DR REGISTER(0x4001244C)
#define SYSTICK_CTRL REGISTER(0xE000E010)
#define SYSTICK_LOAD REGISTER(0xE000E014)
#define SYSTICK_VAL REGISTER(0xE000E018)
#define NVIC_ISER1 REGISTER(0xE000E104)
#define SCB_ICSR REGISTER(0xE000ED04)

#define HSE_READY BIT(17)
#define PLL_READY BIT(25)
#define PLL_72_MHZ (BIT(16) | 7ul << 18) /* of the crystal, times 9 */
#define APB1_BY_2 (4ul << 8)
#define ADC_BY_6 (2ul << 14)
#define RX_IS_FULL BIT(5)
#define TX_IS_EMPTY BIT(7)
#define ADC_ON (BIT(0) | BIT(20) | 7ul << 17 | BIT(23)) /* started by software; with the band gap */
#define ADC_CALIBRATE BIT(2)
#define ADC_START BIT(22)
#define ADC_DONE BIT(1)
#define TICK_IS_PENDING BIT(26)
#define USART1_IN_ISER1 BIT(37 - 32)

#define BAUD 115200u
#define IDLE_PERIOD_US 10000u
#define A0 0u
#define BAND_GAP 17u
#define BAND_GAP_MV 1200u
#define LEAD_OFF_PINS (BIT(10) | BIT(11))
#define LONGEST_START 100000u /* loops of some 10 cycles; a crystal needs 2 ms of 8 MHz */
#define LONGEST_CONVERSION 1000u

static struct edge_board board;
static struct edge_bytes from_host;
static uint32_t ticks_per_us = 8;
static uint32_t period_us;
static volatile uint32_t period_began_us;
static volatile bool sampling;
static uint16_t supply_mv;

/* Wait for a bit of a register, so many loops at most; false when it did not come. */
static bool wait_for(volatile uint32_t *status, uint32_t bit, uint32_t n_loops)
{
    while ((*status & bit) == 0) {
        if (n_loops-- == 0) {
            return false;
        }
    }
    return true;
}

static uint16_t convert(uint32_t channel)
{
    ADC1_SQR3 = channel;
    ADC1_CR2 = ADC_ON | ADC_START;
    wait_for(&ADC1_SR, ADC_DONE, LONGEST_CONVERSION);
    return (uint16_t)(ADC1_DR & 0xFFFu);
}

static void on_tick(void)
{
    period_began_us += period_us;
    if (sampling) {
        int16_t count = (int16_t)convert(A0);
        edge_ring_push(&board.ring, &count, EDGE_LEAD_OFF_KNOWN | ((GPIOB_IDR & LEAD_OFF_PINS) != 0 ? 1u : 0u));
    }
}

static void on_line(void)
{
    if ((USART1_SR & RX_IS_FULL) != 0) {
        edge_bytes_push(&from_host, (uint8_t)USART1_DR);
    } else {
        (void)USART1_DR; /* clears an error */
    }
}

uint16_t edge_port_put(const uint8_t *bytes, uint16_t n)
{
    if (n == 0 || (USART1_SR & TX_IS_EMPTY) == 0) {
        return 0;
    }
    USART1_DR = *bytes;
    return 1;
}

int16_t edge_port_get(void)
{
    return edge_bytes_take(&from_host);
}

static void interrupts_off(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
}

static void interrupts_on(void)
{
    __asm__ volatile("cpsie i" ::: "memory");
}

uint32_t edge_port_micros(void)
{
    uint32_t now_us, left;
    interrupts_off();
    left = SYSTICK_VAL;
    now_us = period_began_us;
    if ((SCB_ICSR & TICK_IS_PENDING) != 0) {
        left = SYSTICK_VAL; /* of the period that has begun, if it had not when first read */
        now_us += period_us;
    }
    interrupts_on();
    return now_us + (SYSTICK_LOAD - left) / ticks_per_us;
}

static void use_period(uint32_t new_period_us)
{
    uint32_t now_us = edge_port_micros();
    interrupts_off();
    SYSTICK_LOAD = new_period_us * ticks_per_us - 1u;
    SYSTICK_VAL = 0;
    period_began_us = now_us;
    period_us = new_period_us;
    interrupts_on();
}

/* What the supply is, by the band gap: 1.20 V within 4 %. */
static void measure_supply(void)
{
    uint16_t counts = convert(BAND_GAP);
    supply_mv = (uint16_t)(counts > 0 ? BAND_GAP_MV * 4096u / counts : 0);
}

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
    use_period(1000000000ul / fs_mhz);
    sampling = true;
    return true;
}

void edge_port_stop(void)
{
    sampling = false;
}

static void start_clock(void)
{
    RCC_CR |= BIT(16);
    if (wait_for(&RCC_CR, HSE_READY, LONGEST_START)) {
        FLASH_ACR = BIT(4) | 2u; /* two wait states above 48 MHz */
        RCC_CFGR = PLL_72_MHZ | APB1_BY_2 | ADC_BY_6;
        RCC_CR |= BIT(24);
        if (wait_for(&RCC_CR, PLL_READY, LONGEST_START)) {
            RCC_CFGR |= 2u;
            ticks_per_us = 72;
        }
    }
    RCC_APB2ENR |= BIT(2) | BIT(3) | BIT(9) | BIT(14); /* ports A and B, ADC1, USART1 */
}

/* The waits here are for a bit that there is not: nothing tells that the ADC is awake, and QEMU's has no calibration. */
static void start_adc(void)
{
    ADC1_SMPR1 = 7ul << 21; /* 239.5 cycles for the band gap */
    ADC1_SMPR2 = 7ul;       /* and for A0 */
    ADC1_CR2 = ADC_ON;
    wait_for(&USART1_DR, BIT(31), 1000); /* 1 us */
    ADC1_CR2 = ADC_ON | ADC_CALIBRATE;
    wait_for(&USART1_DR, BIT(31), 1000); /* 7 us */
}

static void start_line(void)
{
    GPIOA_CRL &= ~0xFul; /* PA0 analogue */
    GPIOA_CRH = (GPIOA_CRH & ~0xFF0ul) | 0xBul << 4 | 0x8ul << 8; /* PA9 sends, PA10 is pulled up */
    GPIOA_ODR |= BIT(10);
    USART1_BRR = (ticks_per_us * 1000000u + BAUD / 2u) / BAUD;
    USART1_CR1 = BIT(13) | BIT(5) | BIT(3) | BIT(2); /* on, interrupt of RX, TX, RX */
    NVIC_ISER1 = USART1_IN_ISER1;
}

int main(void)
{
    start_clock();
    start_adc();
    use_period(IDLE_PERIOD_US);
    SYSTICK_CTRL = 7; /* on, with interrupt, at the clock of the processor */
    edge_board_init(&board);
    start_line();
    for (;;) {
        edge_board_poll(&board);
    }
}

extern uint32_t data_load[], data_start[], data_end[], bss_start[], bss_end[];

void reset(void);

void reset(void)
{
    uint32_t *from = data_load, *to;
    for (to = data_start; to < data_end; to++) {
        *to = *from++;
    }
    for (to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    main();
}

static void hang(void)
{
    for (;;) {
    }
}

/* Behind the initial stack pointer, which the linker puts first. */
__attribute__((section(".vectors"), used)) static void (*const vectors[15 + 38])(void) = {
    reset, hang, hang, hang, hang, hang, [14] = on_tick, [15 + 37] = on_line};
