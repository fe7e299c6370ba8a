/* The firmware of the ATmega328P in a simulator (simavr): a signal at its pins, its UART on stdin and stdout or on a
 * pseudo terminal.
 *
 *   edge_sim [--pty] [--speed X] [--figures FILE] FIRMWARE.elf SIGNAL
 *
 * Simulated time begins with the first sample and, without --speed, runs as fast as it can; --speed 1 is life. Who
 * reads slowly holds the simulated world, so that nothing is lost. The end of stdin ends it, 0.1 s of simulated time
 * later. --figures: stack, time in interrupts and asleep, as JSON. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <avr_adc.h>
#include <avr_ioport.h>
#include <avr_timer.h>
#include <avr_uart.h>
#include <sim_avr.h>
#include <sim_elf.h>
#include <sim_time.h>

#include "signal_file.h"
#include "terminal.h"

#define SUPPLY_MV 5000
#define RAM_START 0x100
#define PAINT 0xC5
#define TIMER1_COMPB 12
#define BITS_A_BYTE 10
#define BAUD 115200
#define BYTES_A_LOOK 10 /* the line is looked at once in so many byte times, 0.9 ms */
#define LAST_S 0.1

/* The interrupts of the firmware, and of Arduino's own clock. */
static const struct {
    int vector;
    const char *name;
} vectors[] = {{11, "TIMER1_COMPA"}, {16, "TIMER0_OVF"}, {18, "USART_RX"}, {19, "USART_UDRE"}, {21, "ADC"}};
#define N_VECTORS (sizeof(vectors) / sizeof(vectors[0]))

struct interrupt {
    avr_t *avr;
    avr_cycle_count_t entered;
    unsigned long worst_cycles, n;
};

struct world {
    avr_t *avr;
    struct signal_file signal;
    avr_cycle_count_t first_sample; /* 0: none yet */
    avr_cycle_count_t asleep;
    avr_cycle_count_t last; /* when all ends; 0: not yet */
    int in, out;
    uint8_t heard[4096];
    ssize_t n_heard, n_fed;
    uint8_t said[4096];
    size_t n_said;
    unsigned n_until_look;
    double speed; /* 0: unpaced */
    struct timespec begun;
    struct interrupt interrupts[N_VECTORS];
};

static double seconds(const struct world *world, avr_cycle_count_t cycles)
{
    return (double)cycles / world->avr->frequency;
}

static void say(struct world *world)
{
    size_t n_written = 0;
    while (n_written < world->n_said) {
        ssize_t n = write(world->out, world->said + n_written, world->n_said - n_written);
        if (n > 0) {
            n_written += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd watched[2] = {{world->out, POLLOUT, 0}, {STDIN_FILENO, 0, 0}};
            poll(watched, 2, -1);
            if (watched[1].revents != 0) {
                exit(0); /* nobody will read it */
            }
        } else {
            exit(0);
        }
    }
    world->n_said = 0;
}

static void uart_output(avr_irq_t *irq, uint32_t value, void *param)
{
    struct world *world = param;
    (void)irq;
    world->said[world->n_said++] = (uint8_t)value;
    if (world->n_said == sizeof(world->said)) {
        say(world);
    }
}

static void hear(struct world *world)
{
    struct pollfd watched[2] = {{STDIN_FILENO, POLLIN, 0}, {world->in, POLLIN, 0}};
    char ignored;
    if (poll(watched, 2, 0) <= 0) {
        return;
    }
    if (watched[1].revents != 0) {
        world->n_fed = 0;
        world->n_heard = read(world->in, world->heard, sizeof(world->heard));
    }
    if (watched[0].revents != 0 && world->last == 0 &&
        (world->in == STDIN_FILENO ? world->n_heard == 0 : read(STDIN_FILENO, &ignored, 1) <= 0)) {
        world->last = world->avr->cycle + (avr_cycle_count_t)(LAST_S * world->avr->frequency);
    }
}

static void keep_pace(const struct world *world)
{
    struct timespec now;
    double ahead_s;
    clock_gettime(CLOCK_MONOTONIC, &now);
    ahead_s = seconds(world, world->avr->cycle) / world->speed -
              ((double)(now.tv_sec - world->begun.tv_sec) + 1e-9 * (double)(now.tv_nsec - world->begun.tv_nsec));
    if (ahead_s > 0) {
        struct timespec wait = {(time_t)ahead_s, (long)(1e9 * (ahead_s - (double)(time_t)ahead_s))};
        nanosleep(&wait, NULL);
    }
}

/* Once in a byte time: what came over the line goes to the UART, a byte each time. */
static avr_cycle_count_t line_time(avr_t *avr, avr_cycle_count_t when, void *param)
{
    struct world *world = param;
    if (world->n_fed < world->n_heard) {
        avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_INPUT), world->heard[world->n_fed++]);
    }
    if (--world->n_until_look == 0) {
        world->n_until_look = BYTES_A_LOOK;
        say(world);
        if (world->n_fed >= world->n_heard) {
            hear(world);
        }
        if (world->speed > 0) {
            keep_pace(world);
        }
    }
    return when + avr->frequency / (BAUD / BITS_A_BYTE);
}

/* A conversion begins: the pins get what the electrodes have now. */
static void conversion(avr_irq_t *irq, uint32_t value, void *param)
{
    struct world *world = param;
    avr_t *avr = world->avr;
    const struct signal_row *row;
    union {
        uint32_t value;
        avr_adc_mux_t mux;
    } source = {value};
    (void)irq;
    if (source.mux.kind != ADC_MUX_SINGLE || source.mux.src != 0) {
        return;
    }
    if (world->first_sample == 0) {
        world->first_sample = avr->cycle;
    }
    row = signal_at(&world->signal, seconds(world, avr->cycle - world->first_sample));
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_ADC0), row->mv);
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('B'), 2), row->lo_plus);
    avr_raise_irq(avr_io_getirq(avr, AVR_IOCTL_IOPORT_GETIRQ('B'), 3), row->lo_minus);
}

/* simavr 1.6 knows no conversion that a timer starts: the wire between the two is here. */
static void compare_match(avr_irq_t *irq, uint32_t value, void *param)
{
    struct world *world = param;
    (void)irq;
    if (value != 0) {
        avr_raise_irq(avr_io_getirq(world->avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_IN_TRIGGER), 1);
    }
}

static void in_interrupt(avr_irq_t *irq, uint32_t value, void *param)
{
    struct interrupt *interrupt = param;
    (void)irq;
    if (value != 0) {
        interrupt->entered = interrupt->avr->cycle;
    } else if (interrupt->entered != 0) {
        unsigned long cycles = (unsigned long)(interrupt->avr->cycle - interrupt->entered);
        interrupt->n++;
        if (cycles > interrupt->worst_cycles) {
            interrupt->worst_cycles = cycles;
        }
    }
}

static struct world *sleeper; /* simavr hands its sleep callback nothing of ours */

static void sleep_without_waiting(avr_t *avr, avr_cycle_count_t cycles)
{
    (void)avr;
    sleeper->asleep += cycles;
}

static void log_errors(avr_t *avr, const int level, const char *format, va_list arguments)
{
    (void)avr;
    if (level == LOG_ERROR) {
        vfprintf(stderr, format, arguments);
    }
}

static void make_board(struct world *world, const char *name, elf_firmware_t *firmware)
{
    static const char mcu[] = "atmega328p";
    uint32_t flags = 0;
    avr_t *avr;
    size_t index;
    avr_global_logger_set(log_errors);
    if (elf_read_firmware(name, firmware) != 0) {
        fprintf(stderr, "%s: no firmware\n", name);
        exit(1);
    }
    memcpy(firmware->mmcu, mcu, sizeof(mcu));
    firmware->frequency = 16000000;
    world->avr = avr = avr_make_mcu_by_name(mcu);
    avr_init(avr);
    avr_load_firmware(avr, firmware);
    avr->vcc = avr->avcc = avr->aref = SUPPLY_MV;
    avr->sleep = sleep_without_waiting;
    sleeper = world;
    memset(avr->data + RAM_START + firmware->datasize + firmware->bsssize, PAINT,
           avr->ramend + 1u - RAM_START - firmware->datasize - firmware->bsssize);
    avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT), uart_output, world);
    avr_irq_register_notify(avr_io_getirq(avr, AVR_IOCTL_ADC_GETIRQ, ADC_IRQ_OUT_TRIGGER), conversion, world);
    avr_irq_register_notify(avr_get_interrupt_irq(avr, TIMER1_COMPB) + AVR_INT_IRQ_PENDING, compare_match, world);
    for (index = 0; index < N_VECTORS; index++) {
        world->interrupts[index].avr = avr;
        avr_irq_register_notify(avr_get_interrupt_irq(avr, (uint8_t)vectors[index].vector) + AVR_INT_IRQ_RUNNING,
                                in_interrupt, &world->interrupts[index]);
    }
    world->n_until_look = BYTES_A_LOOK;
    avr_cycle_timer_register(avr, 1, line_time, world);
}

static void write_figures(const struct world *world, const elf_firmware_t *firmware, const char *name)
{
    const avr_t *avr = world->avr;
    uint32_t lowest = RAM_START + firmware->datasize + firmware->bsssize;
    FILE *file = fopen(name, "w");
    size_t index;
    if (file == NULL) {
        perror(name);
        exit(1);
    }
    while (lowest <= avr->ramend && avr->data[lowest] == PAINT) {
        lowest++;
    }
    fprintf(file, "{\"simulated_s\": %.3f, \"asleep_s\": %.3f, \"stack_bytes\": %u, \"interrupts\": {",
            seconds(world, avr->cycle), seconds(world, world->asleep), avr->ramend + 1u - lowest);
    for (index = 0; index < N_VECTORS; index++) {
        fprintf(file, "%s\"%s\": {\"n\": %lu, \"worst_cycles\": %lu}", index > 0 ? ", " : "", vectors[index].name,
                world->interrupts[index].n, world->interrupts[index].worst_cycles);
    }
    fputs("}}\n", file);
    fclose(file);
}

int main(int argc, char **argv)
{
    static struct world world;
    static elf_firmware_t firmware;
    const char *figures = NULL;
    int state = cpu_Running;
    int index;
    world.in = STDIN_FILENO;
    world.out = STDOUT_FILENO;
    if (argc < 3) {
        fputs("usage: edge_sim [--pty] [--speed X] [--figures FILE] FIRMWARE.elf SIGNAL\n", stderr);
        return 2;
    }
    for (index = 1; index < argc - 2; index++) {
        if (strcmp(argv[index], "--pty") == 0) {
            world.in = world.out = open_terminal();
        } else if (strcmp(argv[index], "--speed") == 0) {
            world.speed = atof(argv[++index]);
        } else if (strcmp(argv[index], "--figures") == 0) {
            figures = argv[++index];
        }
    }
    world.signal = signal_load(argv[argc - 1]);
    make_board(&world, argv[argc - 2], &firmware);
    clock_gettime(CLOCK_MONOTONIC, &world.begun);
    while (state != cpu_Done && state != cpu_Crashed && (world.last == 0 || world.avr->cycle < world.last)) {
        state = avr_run(world.avr);
    }
    if (state == cpu_Done || state == cpu_Crashed) {
        fputs("the firmware crashed\n", stderr);
        return 1;
    }
    say(&world);
    if (figures != NULL) {
        write_figures(&world, &firmware, figures);
    }
    return 0;
}
