#pragma once

// Every family of operations.
#include "ops/attention.h"
#include "ops/augment.h"
#include "ops/batch_norm.h"
#include "ops/class_loss.h"
#include "ops/conv.h"
#include "ops/linear.h"
#include "ops/loss.h"
#include "ops/loss_scale.h"
#include "ops/momentum.h"
#include "ops/norm.h"
#include "ops/optimizer.h"
#include "ops/pointwise.h"
#include "ops/position_bias.h"
#include "ops/residual.h"
#include "ops/tokens.h"
#include "ops/vision.h"
