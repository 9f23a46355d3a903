-- `mona:sendMail` (MON-26). The node has no way to send mails: each tells so on the next tick.
local R = ...
local events = R.events
local rawget, type = rawget, type

-- Mails that wait for their tick.
local MOST_WAITING = 1000
local waiting = {}

R.class("mail", { label = "mail" })

function R.send_mail()
	local mail = R.new("mail", {})
	if #waiting < MOST_WAITING then
		waiting[#waiting + 1] = mail
	else
		R.native.log(3, "mona:sendMail: " .. MOST_WAITING .. " mails wait already, this one is dropped")
	end
	return mail
end

function events.mails()
	local mails, ran = waiting, nil
	waiting = {}
	for _, mail in ipairs(mails) do
		local f = rawget(mail, "onSent")
		if type(f) == "function" then
			ran = R.app_of(f)
			R.invoke(f, "mail:onSent", 0, mail, "mail not configured")
		end
	end
	return ran
end
