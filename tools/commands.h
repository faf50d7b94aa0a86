/* tools/commands.h - the commands of the program, one line each.
 *
 * argv[0] is the command's own word, its arguments follow. The result is the exit status of
 * the process; an error is one line on stderr, "Error: <text>". */
#ifndef CHASKI_TOOLS_COMMANDS_H
#define CHASKI_TOOLS_COMMANDS_H

int cmd_accept(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_cp(int argc, char **argv);
int cmd_create(int argc, char **argv);
int cmd_dequant(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_logits(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_render(int argc, char **argv);
int cmd_rm(int argc, char **argv);
int cmd_roofline(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);

#endif
