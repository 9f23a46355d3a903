-- Files: a list that a script makes, and the one that the node makes by itself.
--
-- To try it:
--   cargo run --release
--   open http://localhost:8080/files/            (this application's page)
--   open http://localhost:8080/files/samples/    (the node's own list; put files there)
-- Without a browser:
--   curl 'http://localhost:8080/files/list?sort=size'

-- The folder that is shown, below www; nothing of a request ever gets into it.
FOLDER = path .. "/samples"

local orders = {
	name = function(a, b) return a.name < b.name end,
	size = function(a, b) return a.size > b.size end,
	modified = function(a, b) return a.modified.__time > b.modified.__time end,
}

function onConnection(client)
	function client:list(query)
		local list = {}
		for _, file in ipairs(mona:listPaths(FOLDER)) do
			list[#list + 1] = {
				name = file.name,
				kind = file.isDirectory and "folder" or file.extension,
				size = file.size,
				modified = { __time = file.lastModified * 1000 },
			}
		end
		table.sort(list, orders[query and query.sort] or orders.name)
		return list
	end

	-- Folders below this one have no main.lua and are served by this function as well: they keep
	-- the node's own list.
	if client.path == path then return { index = "index.html" } end
end
