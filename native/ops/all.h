#pragma once

// Every family of operations.
#include "ops/attention.h"
#include "ops/augment.h"
#include "ops/conv.h"
#include "ops/linear.h"
#include "ops/loss.h"
#include "ops/norm.h"
#include "ops/optimizer.h"
#include "ops/pointwise.h"
#include "ops/residual.h"
#include "ops/tokens.h"
#include "ops/vision.h"
