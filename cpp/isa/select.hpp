// Which instruction sets this build has, which of them this CPU can run, and the choice among them.
// DELTARULE_ISA in the environment overrides the choice, to compare sets or to get around a broken one.
#pragma once

#include <string>
#include <vector>

#include "kernels/table.hpp"

namespace deltarule {

std::vector<const KernelTable*> available_tables();     // what this CPU can run, the best one last
const KernelTable& find_table(const std::string& name); // among the available ones, or std::invalid_argument
const KernelTable& selected_table();        // the best one, or what DELTARULE_ISA names, or the last select_table
void select_table(const std::string& name); // for what is made from now on

template <class T> const Kernels<T>& kernels_of(const KernelTable& table);
template <> inline const Kernels<float>& kernels_of(const KernelTable& table) { return table.float32; }
template <> inline const Kernels<double>& kernels_of(const KernelTable& table) { return table.float64; }

} // namespace deltarule
