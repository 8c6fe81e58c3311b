/* What the programs know of the board. */
#ifndef BOARD_H_
#define BOARD_H_

#ifdef __cplusplus
extern "C" {
#endif

/* Sets the UART up, which printf writes to. */
void BoardStart(void);

/* Ends the emulation. */
void BoardStop(int status);

#ifdef __cplusplus
}
#endif
#endif /* BOARD_H_ */
