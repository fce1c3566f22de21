"""Build an index from sources.

1. find.find_sources: each path is detected by the readers of `formats/` (survey.detect) and becomes a Source.
2. find.units_of: a source is cut into units, such as one class tar or one annotation archive.
3. like.borrow (--like): parts are made of another index's rows, where a sample of headers agrees.
4. unit_work.work, in worker processes: a changed unit is scanned into its part (parts.write_part), <key>-<digest>.part.
5. merge.merge: labels are checked; plain.odd_images selects what SQL must compare; merge_boxes chooses boxes.
6. merge_images settles ids and copies: plain files by plain_files, others by SQL, with merge_other_bytes.
7. merge_boxes, _merge_problems and _merge_synsets write the other tables. Only files whose rows change are written.
8. store.layout.write_manifest puts the new files in force; the folder <index>.partial with the parts is removed.
"""
