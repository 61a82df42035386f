#pragma once

// Every family of operations.
#include "ops/linear.h"
