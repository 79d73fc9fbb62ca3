/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the class of a photo: minimal MODEL IMAGE */
#include <stdio.h>
#include <vitrt.h>

int main(int argc, char **argv)
{
    vitrt_error err = { .message = "usage: minimal MODEL IMAGE" };
    vitrt_model *model = NULL;
    vitrt_session *session = NULL;
    vitrt_image image = { 0 };
    vitrt_output logits = { 0 };
    int failed = argc != 3 || vitrt_model_open(argv[1], NULL, &model, &err) ||
                 vitrt_session_create(model, NULL, &session, &err) || vitrt_image_open(argv[2], NULL, &image, &err) ||
                 vitrt_run(session, &image, 1, &logits, &err);
    uint32_t best = 0;
    for (uint32_t i = 1; i < logits.columns; i++)
        best = ((const float *)logits.data)[i] > ((const float *)logits.data)[best] ? i : best;
    const char *answer = failed ? err.message : vitrt_model_label(model, best);
    puts(answer ? answer : "This model names no classes.");
    vitrt_image_free(&image);
    vitrt_session_free(session);
    vitrt_model_free(model);
    return failed;
}
