/* SPDX-License-Identifier: Apache-2.0 */
/* From options to a session; see classify.h. */
#include "classify.h"

#include <stdio.h>
#include <stdlib.h>

#include "outputs.h"

/* In place of the model one in which tokens leave. */
static vitrt_status reduce_tokens(struct classifier *c, vitrt_error *err)
{
    struct reduction *r = &c->options.reduction;
    vitrt_model *reduced = NULL;
    if (!r->options.method)
        return VITRT_OK;
    r->options.height = c->options.session.height;
    r->options.width = c->options.session.width;
    const vitrt_status st = vitrt_model_reduce(c->model, reduction_options(r), &reduced, err);
    if (st == VITRT_OK) {
        vitrt_model_free(c->model);
        c->model = reduced;
    }
    return st;
}

/* Asks for the logits (without a head: the features), and for a dump or a picture also for what is in them. */
static vitrt_status create_session(struct classifier *c, vitrt_error *err)
{
    const struct options *o = &c->options;
    const struct outputs_wanted wanted = { .pixels = o->dump || o->picture,
                                           .blocks = o->dump,
                                           .tokens = o->dump || o->picture };
    const char **names = outputs_names(c->model, &wanted, &c->output_count);
    vitrt_session_options session = o->session;
    vitrt_status st = VITRT_ENOMEM;
    c->outputs = calloc(c->output_count + 1, sizeof(*c->outputs));
    c->top = calloc(o->top + 1, sizeof(*c->top));
    snprintf(err->message, sizeof(err->message), "Not enough memory for %zu outputs.", c->output_count);
    if (names && c->outputs && c->top) {
        session.outputs = names;
        session.output_count = c->output_count;
        st = vitrt_session_create(c->model, &session, &c->session, err);
    }
    free(names);
    return st ? st : vitrt_session_get_info(c->session, &c->info);
}

static bool start_picture(struct classifier *c, vitrt_error *err)
{
    const size_t others = (c->options.dump ? c->model_info.blocks : 0) + 2;
    if (c->output_count == others)
        return classify_fail("No tokens leave this model, --show-tokens has nothing to show (-r makes them leave).");
    return token_picture_start(&c->picture, c->model, &c->options.session, err) == VITRT_OK ||
           classify_fail(err->message);
}

bool classify_open(struct classifier *c)
{
    vitrt_error err = { 0 };
    if (vitrt_model_open(c->options.model, NULL, &c->model, &err) != VITRT_OK ||
        reduce_tokens(c, &err) != VITRT_OK || vitrt_model_get_info(c->model, &c->model_info) != VITRT_OK)
        return classify_fail(err.message);
    if (c->options.top > c->model_info.classes)
        c->options.top = c->model_info.classes;
    if (create_session(c, &err) != VITRT_OK)
        return classify_fail(err.message);
    return !c->options.picture || start_picture(c, &err);
}
