// When a training is over, or its learning rate too high, because it no longer gets better: the rule of scikit-learn.
#pragma once

namespace deltarule {

struct Plateau {
    double tolerance = 0;  // an epoch counts as better when it is so by this much
    double patience = 0;   // epochs in a row that need not be; infinity is possible
    double divisor = 0;    // then the learning rate is divided by this; 0: the training is over
    double least_rate = 0; // and also where the learning rate is no higher than this

    // Borrowed: what was seen so far, in this fit or in those that it continues.
    double* best = nullptr; // the lower, the better
    double* count = nullptr;
    double* rate = nullptr;

    // Whether the training is over. A value that is not a number is no worse than any other: the count begins again.
    bool ends(double value) const {
        *count = value > *best - tolerance ? *count + 1 : 0;
        if (value < *best) *best = value;
        if (!(*count > patience)) return false;
        if (divisor <= 0 || *rate <= least_rate) return true;
        *rate /= divisor;
        *count = 0;
        return false;
    }
};

} // namespace deltarule
