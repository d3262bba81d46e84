// A list of types, and the constant array that a table keeps of it: Rows<Row, List<A, B>>::rows = {Row::of<A>(), Row::of<B>()}.
#pragma once

namespace deltarule::DELTARULE_ISA {
namespace {

template <class... Items> struct List {};

template <class Row, class Items> struct Rows;
template <class Row, class... Items> struct Rows<Row, List<Items...>> {
    static constexpr int count = static_cast<int>(sizeof...(Items));
    static constexpr typename Row::type rows[] = {Row::template of<Items>()...};
};

} // namespace
} // namespace deltarule::DELTARULE_ISA
