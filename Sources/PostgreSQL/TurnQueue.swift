// SPDX-License-Identifier: Apache-2.0
import DequeModule

/// Who may use the connection next: calls take turns in the order in which they came, and while a session (a
/// transaction, a COPY) holds the connection, only its own calls are served.
struct TurnQueue<Item> {
    private struct Entry {
        let id: UInt64
        let session: UInt64?
        let item: Item
    }

    private var entries: Deque<Entry> = []
    /// The session that holds the connection.
    var holder: UInt64?

    var isEmpty: Bool { entries.isEmpty }

    mutating func append(_ item: Item, id: UInt64, session: UInt64?) {
        entries.append(Entry(id: id, session: session, item: item))
    }

    /// Takes out the item whose turn it is.
    mutating func next() -> Item? {
        guard let holder else { return entries.popFirst()?.item }
        guard let index = entries.firstIndex(where: { $0.session == holder }) else { return nil }
        return entries.remove(at: index).item
    }

    /// Takes out the item `id`, if it still waits.
    mutating func remove(id: UInt64) -> Item? {
        guard let index = entries.firstIndex(where: { $0.id == id }) else { return nil }
        return entries.remove(at: index).item
    }

    mutating func removeAll() -> [Item] {
        defer { entries.removeAll() }
        return entries.map(\.item)
    }
}
