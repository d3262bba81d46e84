// How the rows of some sequences lie in memory: of each step the samples that are still going on, the longest sample first, and
// no row for steps that do not exist. The last step lies first. Backward visits the steps in that order, so a sum over all
// rows, taken upwards, is the same whether its steps come all at once or in pieces, the last piece first.
#pragma once

#include <algorithm>
#include <functional>
#include <vector>

#include "base/view.hpp"

namespace deltarule {

struct Sequence {
    Index samples = 0;                 // that have a first step
    Index steps = 0;                   // of the longest
    Index rows = 0;                    // of all steps
    Index rows_before = 0;             // of later steps, in pieces that belong to the same sum
    Index continuing = 0;              // of the samples go on behind the last step
    bool gradient_arrives = false;     // and their dL/d(state) there is known
    bool carries_back = false;         // dL/d(state) is wanted beyond the first step
    bool is_ragged = false;            // not all of one length
    std::vector<Index> first_row;      // of each step
    std::vector<Index> active;         // samples that have it: never more than have the step before
    std::function<bool(double)> go_on; // told of work done, in multiply-adds; false: give up

    Index first_of(Index step) const { return first_row[static_cast<std::size_t>(step)]; }
    Index active_in(Index step) const { // behind the end: those that continue
        return step < steps ? active[static_cast<std::size_t>(step)] : continuing;
    }
    // Those of some samples that have a step, and those whose last one it is
    Range active_of(Index step, Range of) const {
        return {of.first, std::max(of.first, std::min(of.last, active_in(step)))};
    }
    Range ending_of(Index step, Range of) const {
        const Range now = active_of(step, of);
        return {active_of(step + 1, of).last, now.last};
    }
    Range ended(Range of) const { return {std::max(of.first, std::min(of.last, continuing)), of.last}; }

    // Rows of some samples at the steps first … last-1, in as few stretches as can be, upwards
    template <class Visit> void for_rows(Range of, Index first, Index last, const Visit& visit) const {
        if (first >= last) return;
        if (of.first == 0 && of.last >= active_in(first))
            return visit(Range{first_of(last - 1), first_of(first) + active_in(first)});
        for (Index step = last; step-- > first;) {
            const Range mine = active_of(step, of);
            if (mine.size() > 0) visit(Range{first_of(step) + mine.first, first_of(step) + mine.last});
        }
    }
    template <class Visit> void for_rows(Range of, const Visit& visit) const { for_rows(of, 0, steps, visit); }
};

} // namespace deltarule
