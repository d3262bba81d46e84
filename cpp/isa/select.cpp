#include "isa/select.hpp"

#include <atomic>
#include <cstdlib>
#include <sstream>

#include "base/cpu.hpp"
#include "base/require.hpp"
#include "isa/compiled.hpp" // generated

// DELTARULE_COMPILED(SET) is SET(baseline) SET(avx2) …, from the rows of CMakeLists.txt that this compiler can build.
#define DELTARULE_DECLARE(isa)                                                                                         \
    namespace isa {                                                                                                    \
    extern const KernelTable table;                                                                                    \
    }
#define DELTARULE_ADDRESS(isa) &isa::table,

namespace deltarule {

DELTARULE_COMPILED(DELTARULE_DECLARE)

namespace {

constexpr const KernelTable* compiled[] = {DELTARULE_COMPILED(DELTARULE_ADDRESS)};

bool cpu_can_run(const KernelTable& table) {
    std::istringstream needs(table.needs);
    for (std::string feature; needs >> feature;)
        if (!cpu_has(feature)) return false;
    return true;
}

std::atomic<const KernelTable*> selected{nullptr};

} // namespace

std::vector<const KernelTable*> available_tables() {
    std::vector<const KernelTable*> tables;
    for (const KernelTable* table : compiled)
        if (cpu_can_run(*table)) tables.push_back(table);
    require(!tables.empty(), "this CPU lacks what deltarule was compiled for (", compiled[0]->needs,
            "): install from source on this machine");
    return tables;
}

const KernelTable& find_table(const std::string& name) {
    std::string names;
    for (const KernelTable* table : available_tables()) {
        if (name == table->name) return *table;
        names += (names.empty() ? "" : ", ") + std::string(table->name);
    }
    require(false, "instruction set \"", name, "\" is not available: this machine has ", names,
            "; unset DELTARULE_ISA to use the best of them");
    std::abort(); // not reached
}

const KernelTable& selected_table() {
    const KernelTable* table = selected.load(std::memory_order_acquire);
    if (!table) {
        const char* wanted = std::getenv("DELTARULE_ISA");
        table = wanted && *wanted ? &find_table(wanted) : available_tables().back();
        selected.store(table, std::memory_order_release);
    }
    return *table;
}

void select_table(const std::string& name) { selected.store(&find_table(name), std::memory_order_release); }

} // namespace deltarule
