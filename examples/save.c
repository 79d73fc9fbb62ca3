/* SPDX-License-Identifier: Apache-2.0 */
/* Saves a model as one file: save MODEL FILE */
#include <stdio.h>
#include <vitrt.h>

int main(int argc, char **argv)
{
    vitrt_error err = { .message = "usage: save MODEL FILE" };
    vitrt_model *model = NULL;
    const int failed =
        argc != 3 || vitrt_model_open(argv[1], NULL, &model, &err) || vitrt_model_save(model, argv[2], &err);
    if (failed)
        fprintf(stderr, "save: %s\n", err.message);
    vitrt_model_free(model);
    return failed;
}
